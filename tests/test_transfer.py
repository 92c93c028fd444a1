"""Transfers: one job for many readers, on fake work that does what a test tells it to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from plain_server import until

from ollama_jupyter.errors import Canceled, NotFound, OllamaJupyterError
from ollama_jupyter.library.transfer import Transfers
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
DONE = Progress("success")


class FakeWork:
    """Reports what it is told to, until it is told to end. `runs` counts how often it was begun."""

    def __init__(self) -> None:
        self.runs = 0
        self.ended = 0
        self.error: Exception | None = None
        self._finish = threading.Event()
        self._report: Report | None = None

    def __call__(self, report: Report, cancel: threading.Event) -> None:
        self.runs += 1
        self._report = report
        report(Progress("pulling manifest"))
        while not self._finish.wait(0.001):
            if cancel.is_set():
                self.ended += 1
                raise Canceled
        self._finish.clear()
        self.ended += 1
        if self.error:
            raise self.error
        report(DONE)

    async def says(self, *lines: Progress) -> None:
        await until(lambda: self._report)
        assert self._report is not None
        for line in lines:
            self._report(line)
        await asyncio.sleep(0)  # for the loop to hand them on

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self._finish.set()


def pulling(digest: str, done: int) -> Progress:
    return Progress(f"pulling {digest[7:19]}", digest, 100, done)


def follow(transfers: Transfers, work: FakeWork, key: str = "m") -> AsyncGenerator[Progress, None]:
    return transfers.follow(key, "pulling manifest", work)


async def collect(lines: AsyncGenerator[Progress, None]) -> list[Progress]:
    return [line async for line in lines]


async def test_the_first_line_is_there_before_the_work_and_comes_once() -> None:
    transfers, work = Transfers(), FakeWork()
    lines = follow(transfers, work)
    assert await anext(lines) == Progress("pulling manifest")
    work.finish()
    assert await collect(lines) == [DONE]


async def test_a_late_reader_joins_and_is_told_where_it_stands() -> None:
    transfers, work = Transfers(), FakeWork()
    early = follow(transfers, work)
    await anext(early)
    await work.says(pulling(A, 10), pulling(B, 5), pulling(A, 50), Progress("halfway"))
    late = asyncio.ensure_future(collect(follow(transfers, work)))
    await asyncio.sleep(0)
    work.finish()
    opening = Progress("pulling manifest")
    assert await late == [opening, pulling(A, 50), pulling(B, 5), Progress("halfway"), DONE]
    assert (await collect(early))[-1] == DONE
    assert work.runs == 1


async def test_a_slow_reader_gets_only_the_newest_line_of_each_blob() -> None:
    transfers, work = Transfers(), FakeWork()
    slow, fast = follow(transfers, work), follow(transfers, work)
    await anext(slow)
    await anext(fast)
    for done in range(100):
        await work.says(pulling(A, done), pulling(B, done))
        assert [await anext(fast), await anext(fast)] == [pulling(A, done), pulling(B, done)]
    work.finish()
    assert await collect(slow) == [pulling(A, 99), pulling(B, 99), DONE]


async def test_the_job_goes_on_until_the_last_reader_leaves() -> None:
    transfers, work = Transfers(), FakeWork()
    first, second = follow(transfers, work), follow(transfers, work)
    await anext(first)
    await anext(second)
    await first.aclose()
    await work.says(pulling(A, 1))
    assert await anext(second) == pulling(A, 1)
    await second.aclose()
    await until(lambda: work.ended)
    assert work.runs == 1


async def test_a_reader_that_is_cancelled_leaves() -> None:
    transfers, work = Transfers(), FakeWork()
    task = asyncio.ensure_future(collect(follow(transfers, work)))
    await until(lambda: work.runs)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: work.ended)


async def test_who_asks_again_gets_a_new_job_and_it_waits_for_the_deserted_one() -> None:
    transfers = Transfers()
    running, most, release = 0, 0, threading.Event()

    def stubborn(report: Report, cancel: threading.Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        release.wait()  # it does not look at `cancel` for a while
        running -= 1
        report(DONE)

    deserted = transfers.follow("m", "opening", stubborn)
    await anext(deserted)
    await until(lambda: running)
    await deserted.aclose()
    again = transfers.follow("m", "opening", stubborn)
    await anext(again)
    await asyncio.sleep(0.01)
    release.set()
    assert await collect(again) == [DONE]
    assert most == 1


@pytest.mark.parametrize(
    ("raised", "told"),
    [(NotFound("gone"), "gone"), (OSError(28, "x"), "the model store failed: No space left on device")],
)
async def test_an_error_reaches_every_reader(raised: Exception, told: str) -> None:
    transfers, work = Transfers(), FakeWork()
    readers = [asyncio.ensure_future(collect(follow(transfers, work))) for _ in range(3)]
    await until(lambda: work.runs)
    work.finish(raised)
    for reader in readers:
        with pytest.raises(OllamaJupyterError) as caught:
            await reader
        assert caught.value.message == told
    work.error = None
    again = asyncio.ensure_future(collect(follow(transfers, work)))
    await until(lambda: work.runs == 2)
    work.finish()
    assert (await again)[-1] == DONE


async def test_only_so_many_at_once_and_who_waits_has_had_a_line() -> None:
    transfers = Transfers(at_once=2)
    works = [FakeWork() for _ in range(3)]
    readers = [follow(transfers, work, str(i)) for i, work in enumerate(works)]
    for reader in readers:
        assert await anext(reader) == Progress("pulling manifest")
    await until(lambda: works[0].runs and works[1].runs)
    assert not works[2].runs
    works[0].finish()
    assert await collect(readers[0]) == [DONE]
    await until(lambda: works[2].runs)
    for i in (1, 2):
        works[i].finish()
        assert await collect(readers[i]) == [DONE]


async def test_who_leaves_before_its_turn_costs_nothing() -> None:
    transfers, first, second = Transfers(at_once=1), FakeWork(), FakeWork()
    one, two = follow(transfers, first, "1"), follow(transfers, second, "2")
    await anext(one)
    await anext(two)
    await two.aclose()
    first.finish()
    await collect(one)
    await transfers.close()
    assert second.runs == 0


async def test_closing_ends_all_and_tells_the_readers() -> None:
    transfers, work = Transfers(), FakeWork()
    reader = asyncio.ensure_future(collect(follow(transfers, work)))
    await until(lambda: work.runs)
    await transfers.close()
    assert work.ended == 1
    with pytest.raises(Canceled):
        await reader


async def test_two_keys_are_two_jobs() -> None:
    transfers, one, two = Transfers(), FakeWork(), FakeWork()
    async with aclosing(follow(transfers, one, "1")) as a, aclosing(follow(transfers, two, "2")) as b:
        await anext(a)
        await anext(b)
        await until(lambda: one.runs and two.runs)
    await until(lambda: one.ended and two.ended)
