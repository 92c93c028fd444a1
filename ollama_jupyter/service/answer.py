"""From what the engine says to chunks: thinking, text, calls and what they cost."""

from __future__ import annotations

import random
import string
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import groupby

from ollama_jupyter.engine.events import Finished, Text
from ollama_jupyter.errors import CallUnfinished
from ollama_jupyter.messages import Chunk, Stats, TokenLogprob
from ollama_jupyter.prompt.output import Parser, Piece
from ollama_jupyter.service.prompts import Prompt, Rules

Events = AsyncGenerator[Text | Finished, None]

_ID = string.ascii_lowercase + string.digits


class Answer:
    """One of the answers to a request, as it grows. `index` says which."""

    def __init__(self, parser: Parser, rules: Rules, index: int) -> None:
        self._parser = parser
        self._rules = rules
        self._index = index
        self._calls = 0

    def feed(self, event: Text) -> Iterator[Chunk]:
        """The chunks that are certain now. Logprobs come with the first, or alone while the text is held back."""
        chunks = self._chunks(self._parser.feed(event.text)) if event.text else []
        if event.logprobs:
            chunks = _with_logprobs(chunks or [Chunk(index=self._index)], event.logprobs)
        yield from chunks

    def finish(self, end: Finished) -> Iterator[Chunk]:
        """What was still held back.

        Raises:
            CallUnfinished: a call had to be made, and there is none.
        """
        yield from self._chunks(self._parser.finish())
        if self._rules.must_call and not self._calls:
            raise CallUnfinished(_why_unfinished(end))

    def _chunks(self, pieces: list[Piece]) -> list[Chunk]:
        """Neighbouring pieces of one kind as one chunk."""
        kept = [self._counted(piece) for piece in pieces if self._may_follow(piece)]
        return [_chunk(list(group), self._index) for _, group in groupby(kept, key=_kind)]

    def _may_follow(self, piece: Piece) -> bool:
        """Whether it is not empty, and where one call is all that is asked for, not behind it."""
        return bool(piece.text or piece.thinking or piece.call) and (self._rules.several or not self._calls)

    def _counted(self, piece: Piece) -> Piece:
        if piece.call is None:
            return piece
        number, self._calls = self._calls, self._calls + 1
        made = piece.call.id or f"call_{''.join(random.choices(_ID, k=8))}"
        return replace(piece, call=replace(piece.call, index=number, id=made))


@dataclass(frozen=True, slots=True)
class Ending:
    """What the last chunk of every answer tells beside the engine's figures. `started` is a time.perf_counter()."""

    prompt: Prompt
    started: float
    load_duration: float
    keep_context: bool

    def chunk(self, end: Finished) -> Chunk:
        return Chunk(
            index=end.choice,
            done=True,
            done_reason=end.reason,
            stop_sequence=end.stop_sequence,
            stats=Stats(
                total_duration=time.perf_counter() - self.started,
                load_duration=self.load_duration,
                prompt_eval_count=end.prompt_tokens,
                prompt_eval_duration=end.prompt_seconds,
                eval_count=len(end.tokens),
                eval_duration=end.eval_seconds,
                cached_tokens=end.cached_tokens,
            ),
            context=self.prompt.tokens + end.tokens if self.keep_context else (),
            truncated=self.prompt.truncated,
        )


async def answers(
    events: Events, parsers: Sequence[Parser], rules: Rules, ending: Ending
) -> AsyncGenerator[Chunk, None]:
    """The chunks of as many answers as there are parsers, mixed as they come; each has its own last one.

    Raises:
        CallUnfinished: a call had to be made, and there is none.
        EngineError, Canceled: what the engine raises.
    """
    growing = [Answer(parser, rules, index) for index, parser in enumerate(parsers)]
    cut = ending.prompt.truncated
    async with aclosing(events):
        async for event in events:
            for chunk in _follow(growing[event.choice], event, ending):
                yield replace(chunk, truncated=cut) if cut else chunk
                cut = None


def _follow(answer: Answer, event: Text | Finished, ending: Ending) -> Iterator[Chunk]:
    if isinstance(event, Text):
        yield from answer.feed(event)
    else:
        yield from answer.finish(event)
        yield ending.chunk(event)


def _chunk(pieces: list[Piece], index: int) -> Chunk:
    return Chunk(
        "".join(piece.text for piece in pieces),
        thinking="".join(piece.thinking for piece in pieces),
        tool_calls=tuple(piece.call for piece in pieces if piece.call),
        tool_parse_error=pieces[0].error,
        index=index,
    )


def _kind(piece: Piece) -> str:
    if piece.call:
        return "call"
    return f"text {piece.error}" if piece.text else "thinking"


def _with_logprobs(chunks: list[Chunk], logprobs: tuple[TokenLogprob, ...]) -> list[Chunk]:
    return [replace(chunks[0], logprobs=logprobs), *chunks[1:]]


def _why_unfinished(end: Finished) -> str:
    if end.reason == "length":
        return f"the tool call was not finished within {len(end.tokens)} tokens: allow more, or offer simpler tools"
    if end.stop_sequence:
        return f"the tool call was cut by the stop string {end.stop_sequence!r}"
    return "the model ended without the tool call that was asked for"
