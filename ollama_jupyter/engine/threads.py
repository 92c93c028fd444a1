"""How many compute threads a decode should use, following the machine's load.

llama.cpp's threads wait for each other by spinning. As soon as another busy process takes one of the cores, every
barrier waits for the scheduler, and two threads on two cores fall to a fraction of what one gives; on an idle machine
two win. So the number follows the cores that others leave free.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

INTERVAL = 0.5
"""Seconds between two looks at the load: long enough for the kernel's 10 ms ticks to mean something."""
FIRST_INTERVAL = 0.1
"""The first look may come sooner: a rough idea beats none, and it lasts for INTERVAL only."""


def available_cores() -> int:
    """The cores that this process may use: its affinity, and the cgroup's quota where there is one."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity to ask for
        cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return max(1, min(cores, int(_cgroup_cores())))


def _cgroup_cores() -> float:
    """CPU quota of a cgroup v2 in cores, infinite (a large number) without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1.0, int(quota) / int(period))
    except (OSError, ValueError):
        return 1e6


def busy_seconds() -> tuple[float, float]:
    """CPU seconds that the whole machine and this process have used so far."""
    times = psutil.cpu_times()
    waiting = times.idle + getattr(times, "iowait", 0.0)
    return sum(times[:8]) - waiting, time.process_time()


class ThreadCount:
    """Call `now()` before a decode: the number of threads to use, or None where it has not changed.

    `fixed` 0 means automatic. A core counts as taken once others use more than a third of it.
    """

    def __init__(
        self,
        fixed: int = 0,
        cores: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[], tuple[float, float]] = busy_seconds,
    ) -> None:
        self._cores = cores or available_cores()
        self._fixed = fixed
        self._clock, self._load = clock, load
        self._current = 0
        self._looked_at = -INTERVAL
        self._last: tuple[float, float] | None = None

    def watch(self) -> None:
        """Begin to watch the load: some time before the first decode, so that it knows already."""
        self._last, self._looked_at = self._load(), self._clock()

    def now(self) -> int | None:
        wanted = self._fixed or self._automatic()
        if wanted == self._current:
            return None
        self._current = wanted
        return wanted

    def _automatic(self) -> int:
        elapsed = (now := self._clock()) - self._looked_at
        if elapsed < (INTERVAL if self._current else FIRST_INTERVAL):
            return self._current or self._cores
        machine, own = self._load()
        previous, self._last, self._looked_at = self._last, (machine, own), now
        if previous is None:  # nothing to compare with yet
            return self._cores
        others = ((machine - previous[0]) - (own - previous[1])) / elapsed
        return max(1, self._cores - int(others + 2 / 3))
