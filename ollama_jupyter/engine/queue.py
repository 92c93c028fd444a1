"""Answers that wait for a slot, first come first served."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ollama_jupyter.engine.events import Submit


@dataclass(frozen=True, slots=True)
class Waiting:
    """One of the `n` answers of a request."""

    request: Submit
    choice: int


class Queue:
    """The first answer of a request waits alone: the others share what it has read, so they come when it has begun.

    Of these as many stand in the queue as there are slots, and one more comes as one ends, so that a request for many
    answers lets others in between. Args: `at_once` is that number.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._waiting: deque[Waiting] = deque()
        self._next: dict[int, int] = {}  # request -> the first choice that has not come yet
        self._open: dict[int, int] = {}  # request -> the choices that have not ended yet

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, request_id: int) -> bool:
        """Whether the request has answers that have not ended."""
        return request_id in self._open

    def add(self, request: Submit) -> None:
        self._next[request.id], self._open[request.id] = 1, request.n
        self._waiting.append(Waiting(request, 0))

    def pop(self) -> Waiting:
        return self._waiting.popleft()

    def begun(self, request: Submit) -> None:
        """The prompt is in the cache: the other answers come."""
        while self._next[request.id] < min(request.n, self._at_once):
            self._come(request)

    def ended(self, request: Submit) -> None:
        """One answer is over."""
        self._open[request.id] -= 1
        if not self._open[request.id]:
            self.drop(request.id)
        elif self._next[request.id] < request.n:
            self._come(request)

    def drop(self, request_id: int) -> None:
        """All answers of a request are over."""
        del self._next[request_id], self._open[request_id]
        self._waiting = deque(entry for entry in self._waiting if entry.request.id != request_id)

    def ids(self) -> list[int]:
        """The requests that have not ended, in the order in which they came."""
        return list(self._open)

    def _come(self, request: Submit) -> None:
        self._waiting.append(Waiting(request, self._next[request.id]))
        self._next[request.id] += 1
