"""Transfers: pulls and pushes under way. Whoever asks for the same one joins it, and the last to leave ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable

from ollama_jupyter.errors import Canceled
from ollama_jupyter.library.work import Report, in_own_thread
from ollama_jupyter.messages import Progress

Work = Callable[[Report, threading.Event], None]
"""Does a transfer, in a thread. It ends soon after the event is set, by whatever error."""

AT_ONCE = 4
"""Transfers that run together; each may use several connections. More of them wait for their turn."""


class Transfers:
    """Everything here but the work itself happens on the event loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._jobs: dict[Hashable, _Job] = {}
        self._turns = asyncio.Semaphore(at_once)

    async def follow(self, key: Hashable, opening: str, work: Work) -> AsyncGenerator[Progress, None]:
        """What the transfer `key` reports: the one under way, or else a new one that does `work`.

        Whoever joins late is first told where it stands. The first line is `opening`, before anything is done.

        Raises:
            Exception: what `work` raised.
        """
        job = self._join(key, opening, work)
        lines = job.enter()
        try:
            while (progress := await lines.next()) is not None:
                yield progress
            if job.error is not None:
                raise job.error
        finally:
            job.leave(lines)

    def _join(self, key: Hashable, opening: str, work: Work) -> _Job:
        known = self._jobs.get(key)
        if known is not None and not known.cancel.is_set():
            return known
        job = _Job(Progress(opening))
        job.task = asyncio.ensure_future(self._run(key, job, work, known))
        self._jobs[key] = job
        return job

    async def _run(self, key: Hashable, job: _Job, work: Work, former: _Job | None) -> None:
        """Never raises but when it is cancelled itself."""
        try:
            if former is not None and former.task is not None:
                await asyncio.wait([former.task])  # a deserted one, which still holds its files
            async with self._turns:
                if not job.cancel.is_set():
                    report = job.reporter(asyncio.get_running_loop())
                    await in_own_thread(lambda: work(report, job.cancel))
                    job.error = None
        except Exception as error:
            job.error = error
        finally:
            job.end()
            if self._jobs.get(key) is job:
                del self._jobs[key]

    async def close(self) -> None:
        """End all transfers; what they have got so far stays for the next time."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for job in self._jobs.values():
            job.cancel.set()
        if tasks:
            await asyncio.wait(tasks)


class _Job:
    """One transfer. `cancel` tells its thread to end; nobody joins it after that."""

    def __init__(self, opening: Progress) -> None:
        self.cancel = threading.Event()
        self.error: Exception | None = Canceled()  # until it is known to have gone well
        self.task: asyncio.Future[None] | None = None
        self._opening = opening
        self._told = {opening.status: opening}
        self._readers: list[_Lines] = []
        self._ended = False

    def reporter(self, loop: asyncio.AbstractEventLoop) -> Report:
        """What the thread reports to. It raises once nobody wants to know any more."""

        def report(progress: Progress) -> None:
            if self.cancel.is_set():
                raise Canceled
            loop.call_soon_threadsafe(self._tell, progress)

        return report

    def _tell(self, progress: Progress) -> None:
        if progress == self._opening:  # the work's own first line, which everybody has had
            return
        self._told[_subject(progress)] = progress
        for lines in self._readers:
            lines.put(progress)

    def enter(self) -> _Lines:
        lines = _Lines(self._told.values())
        self._readers.append(lines)
        if self._ended:
            lines.end()
        return lines

    def leave(self, lines: _Lines) -> None:
        self._readers.remove(lines)
        if not self._readers:
            self.cancel.set()

    def end(self) -> None:
        self.cancel.set()  # a thread that outlives its task, at the end of the loop
        self._ended = True
        for lines in self._readers:
            lines.end()


class _Lines:
    """What one reader has not read yet: of each blob only the newest line, so that slow readers cost nothing."""

    def __init__(self, lines: Iterable[Progress]) -> None:
        self._unread = {_subject(line): line for line in lines}
        self._ended = False
        self._news = asyncio.Event()

    def put(self, progress: Progress) -> None:
        self._unread[_subject(progress)] = progress
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def next(self) -> Progress | None:
        """The oldest line, or None after the last."""
        while not self._unread:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        return self._unread.pop(next(iter(self._unread)))


def _subject(progress: Progress) -> str:
    """What a line is about: a newer one about the same replaces it."""
    return progress.digest or progress.status
