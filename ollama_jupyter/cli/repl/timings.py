"""What `--verbose` tells of an answer, line by line in Ollama's layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ollama_jupyter.durations import format_duration


class Measured(Protocol):
    """The last line of an answer: durations in nanoseconds, None where the server said nothing."""

    total_duration: int | None
    load_duration: int | None
    prompt_eval_count: int | None
    prompt_eval_duration: int | None
    eval_count: int | None
    eval_duration: int | None


def timings(chunk: Measured) -> Iterator[str]:
    """The lines; what is zero has none."""
    yield from _duration("total duration", chunk.total_duration)
    yield from _duration("load duration", chunk.load_duration)
    yield from _counted("prompt eval", chunk.prompt_eval_count, chunk.prompt_eval_duration)
    yield from _counted("eval", chunk.eval_count, chunk.eval_duration)


def _counted(name: str, count: int | None, duration: int | None) -> Iterator[str]:
    if count:
        yield _line(f"{name} count", f"{count} token(s)")
    yield from _duration(f"{name} duration", duration)
    if duration and duration > 0:
        yield _line(f"{name} rate", f"{(count or 0) * 1e9 / duration:.2f} tokens/s")


def _duration(name: str, nanoseconds: int | None) -> Iterator[str]:
    if nanoseconds and nanoseconds > 0:
        yield _line(name, format_duration(nanoseconds / 1e9))


def _line(name: str, value: str) -> str:
    return f"{name + ':':<21} {value}"
