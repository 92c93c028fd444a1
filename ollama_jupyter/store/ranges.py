"""Which bytes of a file are there: a set of positions, kept as ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]
"""The positions from the first number up to, and without, the second."""


class Ranges:
    """A set of positions that only grows. Iterating gives its ranges, in order and apart from each other."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0
        for start, end in ranges:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        known = sum(self._ends[i] - self._starts[i] for i in range(first, last))
        if first < last:  # those it touches become one with it
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]
        self.total += end - start - known

    @property
    def prefix(self) -> int:
        """How many positions there are from 0 on without a gap."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def missing(self, start: int, end: int) -> list[Range]:
        """The gaps between two positions."""
        gaps = []
        for i in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[i] >= end:
                break
            if start < self._starts[i]:
                gaps.append((start, self._starts[i]))
            start = self._ends[i]
        return gaps + [(start, end)] * (start < end)

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._starts, self._ends, strict=True)))
