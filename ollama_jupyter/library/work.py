"""File work off the event loop: one call in a thread, or a stream of progress from one."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from ollama_jupyter.errors import Canceled, OllamaJupyterError
from ollama_jupyter.messages import Progress

log = logging.getLogger("ollama_jupyter.library")

T = TypeVar("T")
Report = Callable[[Progress], None]
Work = Callable[[Report], None]

# The loop's own threads are few, and everybody's quick work waits for them: what takes long or waits for others must
# not hold them. Uploads do not share with creates, which wait for the child process that tries their file.
MAKING = ThreadPoolExecutor(8, thread_name_prefix="ollama-create")
UPLOADS = ThreadPoolExecutor(4, thread_name_prefix="ollama-upload")


async def in_thread(work: Callable[[], T], threads: Executor | None = None) -> T:
    """The result of `work`, in `threads` or else the loop's. An OSError becomes an error without a path."""
    return await asyncio.get_running_loop().run_in_executor(threads, _guarded, work)


async def in_own_thread(work: Callable[[], T]) -> T:
    """As `in_thread`, in a thread that may wait for strangers: it does not hold up the end of the process."""
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(_guarded(work))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ollama-transfer", daemon=True).start()
    return await asyncio.wrap_future(future)


def _guarded(work: Callable[[], T]) -> T:
    try:
        return work()
    except OSError as error:
        log.exception("the model store failed")
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise OllamaJupyterError(f"the model store failed: {reason}") from None


async def stream(work: Work) -> AsyncGenerator[Progress, None]:
    """What `work` reports, as it happens. Whoever stops listening ends the work at its next report."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Progress | None] = asyncio.Queue()
    deserted = False

    def report(progress: Progress) -> None:
        if deserted:
            raise Canceled
        loop.call_soon_threadsafe(queue.put_nowait, progress)

    def begin() -> None:
        if not deserted:  # while it waited for a thread
            work(report)

    task = asyncio.ensure_future(in_thread(begin, MAKING))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (progress := await queue.get()) is not None:
            yield progress
        await task
    finally:
        deserted = True
        if not task.done():
            task.add_done_callback(_forget)


def _forget(task: asyncio.Future[None]) -> None:
    """Take the outcome of work that nobody waits for any more, so that it is not reported as lost."""
    if not task.cancelled() and task.exception():
        log.debug("abandoned work ended: %s", task.exception())
