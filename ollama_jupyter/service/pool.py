"""Work on prompts and grammars: off the loop, with a deadline, and in few threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ollama_jupyter.errors import BadRequest, ServerBusy
from ollama_jupyter.manager import Lease

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds that rendering and tokenising a prompt may take before the request is refused."""

GRACE = 2.0
"""Seconds more for a call that keeps the deadline itself; what is still running then does not come back."""

THREADS, MAX_LOST = 2, 8


class Pool:
    """Threads of its own for calls that cannot be interrupted, so that bad prompts do not starve the rest."""

    def __init__(self) -> None:
        self._threads = _threads()
        self._turns = asyncio.Semaphore(THREADS)
        self._lost: set[asyncio.Future[Any]] = set()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], T], lease: Lease | None = None, *, what: str = "prompt") -> T:
        """The result of `work`, a call that cannot be stopped; the request that waits for it can.

        The model of the `lease` stays in memory until the call is over, however the request ends.

        Raises:
            BadRequest: it took too long, saying of what.
            ServerBusy: too many calls never came back.
        """
        if len(self._lost) >= MAX_LOST:
            raise ServerBusy
        async with self._turns:
            future = asyncio.get_running_loop().run_in_executor(self._threads, work)
            future.add_done_callback(_ignore_outcome)
            if lease is not None:
                lease.hold(future)
            try:
                return await asyncio.wait_for(asyncio.shield(future), DEADLINE + GRACE)
            except asyncio.TimeoutError:
                self._give_up(future)
                raise BadRequest(f"the {what} took longer than {DEADLINE:g} s to prepare") from None

    def _give_up(self, future: asyncio.Future[T]) -> None:
        """A call that does not come back has its thread for good; the others get new ones."""
        self._lost.add(future)
        future.add_done_callback(self._lost.discard)
        self._threads.shutdown(wait=False)
        self._threads = _threads()


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="ollama-prompt")


def _ignore_outcome(future: asyncio.Future[T]) -> None:
    """Nobody waits any more; look at the exception, so that it is not reported as forgotten."""
    if not future.cancelled():
        future.exception()
