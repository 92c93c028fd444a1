"""Vectors of texts: inputs of all requests packed into batches, one sequence each. Pure Python over an `Encoder`."""

from __future__ import annotations

import logging
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ollama_jupyter.engine.events import Cancel, Command, Embed, Embedded, Event, Failed
from ollama_jupyter.errors import EngineError

log = logging.getLogger("ollama_jupyter.engine")


class Encoder(Protocol):
    """One embedding context over one model. Not thread-safe."""

    n_batch: int  # tokens that one run takes at most
    n_pack: int  # tokens up to which several inputs share a run
    n_seq_max: int  # inputs that one run takes at most

    def encode(self, inputs: Sequence[Sequence[int]]) -> list[array[float]]:
        """A vector for each input, in order; [] where the run was aborted. Raises EngineError."""


@dataclass(slots=True)
class _Request:
    """`vectors` grow in the order of the inputs."""

    id: int
    inputs: deque[tuple[int, ...]]
    vectors: list[array[float]] = field(default_factory=list)


class Embedder:
    """Requests in (`take`), events out of `step`, first come first served. Not thread-safe."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._requests: dict[int, _Request] = {}
        self._events: list[Event] = []

    @property
    def has_work(self) -> bool:
        return bool(self._requests or self._events)

    @property
    def only_request(self) -> int | None:
        """The id of the request that is alone in the batch, if one is: only then may its run be aborted."""
        return next(iter(self._requests)) if len(self._requests) == 1 else None

    def take(self, commands: Iterable[Command]) -> None:
        """What came in since the last step."""
        for command in commands:
            if isinstance(command, Embed):
                self._add(command)
            elif isinstance(command, Cancel) and command.id in self._requests:
                self._fail(command.id, "request canceled", canceled=True)

    def admit(self) -> None:
        """Nothing waits for a place: packing is what `step` does."""

    def step(self) -> list[Event]:
        """Run one batch; the events since the last step."""
        batch = self._pack()
        if batch:
            try:
                vectors = self._encoder.encode([tokens for _, tokens in batch])
            except EngineError as error:
                for request in dict.fromkeys(request.id for request, _ in batch):
                    self._fail(request, error.message)
            else:
                self._deal(batch[: len(vectors)], vectors)
                self._turn()
        return self._drain()

    def fail_all(self, message: str, *, canceled: bool = False) -> list[Event]:
        """End every request with `message`. Used when the engine stops or broke."""
        for request_id in list(self._requests):
            self._fail(request_id, message, canceled=canceled)
        return self._drain()

    def _add(self, command: Embed) -> None:
        lengths = [len(tokens) for tokens in command.inputs]
        if not lengths or not 0 < min(lengths) <= max(lengths) <= self._encoder.n_batch:
            text = f"an input must have from 1 to {self._encoder.n_batch} tokens"
            self._events.append(Failed(command.id, text))
        else:
            self._requests[command.id] = _Request(command.id, deque(command.inputs))

    def _pack(self) -> list[tuple[_Request, tuple[int, ...]]]:
        """The next inputs in order, as many as fit. A long one has a run of its own."""
        batch: list[tuple[_Request, tuple[int, ...]]] = []
        room = self._encoder.n_pack
        for request in self._requests.values():
            for tokens in request.inputs:
                if (batch and len(tokens) > room) or len(batch) == self._encoder.n_seq_max:
                    return batch
                batch.append((request, tokens))
                room -= len(tokens)
        return batch

    def _deal(self, batch: Sequence[tuple[_Request, tuple[int, ...]]], vectors: Sequence[array[float]]) -> None:
        for (request, _), vector in zip(batch, vectors, strict=True):
            request.inputs.popleft()
            request.vectors.append(vector)
            if not request.inputs:
                del self._requests[request.id]
                self._events.append(Embedded(request.id, tuple(request.vectors)))

    def _turn(self) -> None:
        """Let another request be first, so that a small one does not wait for all of a large one."""
        if self._requests:
            first = next(iter(self._requests))
            self._requests[first] = self._requests.pop(first)

    def _fail(self, request_id: int, message: str, *, canceled: bool = False) -> None:
        del self._requests[request_id]
        self._events.append(Failed(request_id, message, canceled))

    def _drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events
