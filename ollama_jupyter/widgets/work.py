"""Work on a thread of its own, so that buttons keep working, on every kernel, while the server takes its time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ollama_jupyter.client.hangup import Hangup
from ollama_jupyter.errors import OllamaJupyterError

log = logging.getLogger("ollama_jupyter.widgets")

JOIN_SECONDS = 5.0


class Stopped(Exception):
    """Raised by a job that noticed by itself that it shall stop."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: stopped by the user, with an error of one line, or else well."""

    was_stopped: bool = False
    error: str = ""


Job = Callable[[Hangup], None]
Ended = Callable[[Outcome], None]


class Work:
    """At most one job at a time. `ended` is called on the job's thread, as its last act."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._hangup = Hangup()

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Job, ended: Ended) -> None:
        self.wait(JOIN_SECONDS)  # the one before has told its end, and is about to go
        self._hangup = hangup = Hangup()
        self._thread = threading.Thread(target=lambda: ended(_outcome(job, hangup)), name="ollama-widget", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell the job to end; returns at once."""
        self._hangup.cut()

    def wait(self, seconds: float | None = None) -> bool:
        """Until the job has ended; False if it has not after so many seconds."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)
        return not self.is_running


def _outcome(job: Job, hangup: Hangup) -> Outcome:
    try:
        job(hangup)
    except Stopped:
        return Outcome(was_stopped=True)
    except OllamaJupyterError as error:
        return Outcome(was_stopped=True) if hangup else Outcome(error=error.message)
    except Exception as error:  # a fault of ours: the widget says so, and the kernel's log has the rest
        log.exception("a widget's job failed")
        return Outcome(error=f"{type(error).__name__}: {error}")
    return Outcome(was_stopped=bool(hangup))
