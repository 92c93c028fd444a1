"""The event loop's end of an engine: start, submit, cancel, stop, all awaitable."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from array import array
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ollama_jupyter.durations import FOREVER
from ollama_jupyter.engine.constrain import Constraint
from ollama_jupyter.engine.events import (
    Cancel,
    Embed,
    Embedded,
    Ended,
    EngineParams,
    Event,
    Failed,
    Finished,
    LoadFailed,
    Ready,
    Stop,
    Submit,
    Text,
)
from ollama_jupyter.engine.runner import Runner
from ollama_jupyter.errors import BadRequest, Canceled, EngineError, ModelLoadError
from ollama_jupyter.messages import Options

if TYPE_CHECKING:
    from ollama_jupyter.engine.vocab import Vocab


@dataclass(slots=True)
class _Stream:
    """Where the events of one request go. `on_end` is called with the last one, read or not.

    `num_open` counts the answers that have not ended.
    """

    queue: asyncio.Queue[Text | Finished | Failed]
    on_end: Callable[[], None]
    num_open: int = 1

    def put(self, event: Text | Finished | Failed) -> None:
        self.queue.put_nowait(event)
        if isinstance(event, Failed):
            self.num_open = 0
        elif isinstance(event, Finished):
            self.num_open -= 1
        if not self.num_open:
            self.on_end()


class EngineHandle:
    """One loaded model. Make it with `await EngineHandle.load(params)`; use it on the loop that made it."""

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        self.size = 0
        self.size_vram = 0
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Ready] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._streams: dict[int, _Stream] = {}
        self._waiters: dict[int, asyncio.Future[tuple[array[float], ...]]] = {}
        self._ids = itertools.count(1)
        self._runner = Runner(params, self._post)
        self._stopped = ""

    @classmethod
    async def load(cls, params: EngineParams, stall_timeout: float = FOREVER) -> EngineHandle:
        """Start the thread and wait until the model is in memory. If the wait is canceled, the load is given up.

        Raises:
            ModelLoadError: with llama.cpp's or our reason, or nothing moved for `stall_timeout` seconds.
        """
        handle = cls(params)
        handle._runner.start()
        try:
            ready = await handle._wait_ready(stall_timeout)
        except BaseException:
            await asyncio.shield(handle.stop("the load was given up"))
            raise
        handle.size, handle.size_vram = ready.size, ready.size_vram
        return handle

    async def _wait_ready(self, stall_timeout: float) -> Ready:
        while not self._ready.done():
            stalled = time.monotonic() - self._runner.progressed_at
            if stalled > stall_timeout:
                raise ModelLoadError("timed out waiting for the model to load")
            await asyncio.wait([self._ready], timeout=min(stall_timeout - stalled + 0.1, 60))
        return self._ready.result()

    @property
    def vocab(self) -> Vocab:
        if self._runner.vocab is None or self._stopped:
            raise EngineError("the model is not loaded")
        return self._runner.vocab

    async def stream(
        self,
        tokens: tuple[int, ...],
        options: Options,
        num_ctx: int,
        shift: bool,
        on_end: Callable[[], None] = lambda: None,
        *,
        n: int = 1,
        logprobs: int | None = None,
        logit_bias: Mapping[int, float] = MappingProxyType({}),
        constraint: Constraint | None = None,
        spelled: frozenset[int] = frozenset(),
    ) -> AsyncGenerator[Text | Finished, None]:
        """Generate: any number of Text and, for each of `n` answers, one Finished. See `Submit` for the arguments.

        Closing the generator cancels the request. `on_end` is called once the engine is done with it, which may be
        long before a slow reader is.

        Raises:
            Canceled: the engine was stopped meanwhile.
            BadRequest: its grammar is too complex to follow.
            EngineError: the engine failed, with its text.
        """
        if self._stopped:
            raise Canceled(self._stopped)
        request = Submit(
            next(self._ids), tokens, options, num_ctx, shift, n, logprobs, dict(logit_bias), constraint, spelled
        )
        stream = self._streams[request.id] = _Stream(asyncio.Queue(), on_end, request.n)
        num_open = request.n
        self._runner.send(request)
        try:
            while num_open:
                event = await stream.queue.get()
                if isinstance(event, Failed):
                    num_open = 0
                    raise _error(event)
                num_open -= isinstance(event, Finished)
                yield event
        finally:
            del self._streams[request.id]
            if num_open:
                self._runner.send(Cancel(request.id))

    async def embed(self, inputs: tuple[tuple[int, ...], ...]) -> tuple[array[float], ...]:
        """A vector for each input, in order. Canceling the task that waits cancels the request.

        Raises:
            Canceled: the engine was stopped meanwhile.
            EngineError: the engine failed, with its text.
        """
        if self._stopped:
            raise Canceled(self._stopped)
        request_id = next(self._ids)
        waiter: asyncio.Future[tuple[array[float], ...]] = self._loop.create_future()
        self._waiters[request_id] = waiter
        self._runner.send(Embed(request_id, inputs))
        try:
            return await waiter
        finally:
            del self._waiters[request_id]
            if waiter.cancelled():
                self._runner.send(Cancel(request_id))

    async def stop(self, reason: str, *, free: bool = True) -> None:
        """End open requests with `reason`, free the model, and wait until its memory is given back.

        `free` False leaves the model in memory for good: for when a thread that cannot be stopped still reads it.
        """
        self._stopped = self._stopped or reason
        self._runner.send(Stop(reason, free))
        await asyncio.shield(self._ended)

    # ---- from the engine's thread -----------------------------------------------------------------------------

    def _post(self, events: list[Event]) -> None:
        """One hop to the loop per step, however many events it has."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._dispatch, events)

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Ready):
                self._settle(event)
            elif isinstance(event, LoadFailed):
                self._settle(ModelLoadError(event.message))
            elif isinstance(event, Ended):
                self._end()
            elif event.id in self._waiters:
                self._settle_waiter(self._waiters[event.id], event)
            elif event.id in self._streams and not isinstance(event, Embedded):
                self._streams[event.id].put(event)

    def _settle_waiter(self, waiter: asyncio.Future[tuple[array[float], ...]], event: Event) -> None:
        if waiter.done():
            return
        if isinstance(event, Embedded):
            waiter.set_result(event.vectors)
        elif isinstance(event, Failed):
            waiter.set_exception(_error(event))

    def _end(self) -> None:
        """The thread is over. If it ended by itself, whoever still waits is told."""
        self._ended.set_result(None)
        reason, canceled = self._stopped or "the engine ended", bool(self._stopped)
        for request_id, stream in list(self._streams.items()):
            stream.put(Failed(request_id, reason, canceled))
        for request_id, waiter in list(self._waiters.items()):
            self._settle_waiter(waiter, Failed(request_id, reason, canceled))
        self._stopped = self._stopped or "the engine ended"

    def _settle(self, outcome: Ready | ModelLoadError) -> None:
        if self._ready.done() or self._stopped:  # the waiter has gone
            return
        if isinstance(outcome, Ready):
            self._ready.set_result(outcome)
        else:
            self._ready.set_exception(outcome)


def _error(event: Failed) -> Canceled | BadRequest | EngineError:
    if event.refused:
        return BadRequest(event.message)
    return Canceled(event.message) if event.canceled else EngineError(event.message)
