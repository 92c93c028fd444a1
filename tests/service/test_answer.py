"""What the engine says, as chunks: how pieces are grouped, where logprobs go, and how each answer ends."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest

from ollama_jupyter.engine.events import Finished, Text
from ollama_jupyter.errors import CallUnfinished
from ollama_jupyter.messages import Chunk, TokenLogprob, ToolCall, Truncated
from ollama_jupyter.prompt.output import PLAIN, Piece, Setup
from ollama_jupyter.service.answer import Ending, answers
from ollama_jupyter.service.prompts import Prompt, Rules

F = Piece(call=ToolCall("f", {"a": 1}))
G = Piece(call=ToolCall("g", {}, id="own"))
LOGPROB = TokenLogprob("t", -1.0, b"t")


class Script:
    """Answers the n-th text with the n-th list of pieces."""

    def __init__(self, *pieces: list[Piece], held_back: Sequence[Piece] = ()) -> None:
        self._pieces = list(pieces)
        self._held_back = list(held_back)

    def feed(self, text: str) -> list[Piece]:
        return self._pieces.pop(0)

    def finish(self) -> list[Piece]:
        return self._held_back


Events = list[Text | Finished]


def finished(reason: str = "stop", *, choice: int = 0, stop_sequence: str = "") -> Finished:
    return Finished(1, reason, (7, 8), 5, 2, 0.5, 0.25, choice, stop_sequence)


async def chunks_of(
    events: Events,
    *parsers: Script,
    rules: Rules | None = None,
    truncated: Truncated | None = None,
    keep_context: bool = False,
) -> list[Chunk]:
    async def stream() -> AsyncGenerator[Text | Finished, None]:
        for event in events:
            yield event

    ending = Ending(Prompt((1, 2), "p", truncated), 0.0, 0.125, keep_context)
    return [chunk async for chunk in answers(stream(), parsers, rules or Rules(), ending)]


def said(chunk: Chunk) -> object:
    """What a chunk says, in short."""
    calls = [(call.name, call.index) for call in chunk.tool_calls]
    return calls or (chunk.thinking and f"<{chunk.thinking}>") or chunk.text


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([Piece("a"), Piece("b")], ["ab"]),
        ([Piece(thinking="a"), Piece(thinking="b"), Piece("c")], ["<ab>", "c"]),
        ([Piece("a"), F, G], ["a", [("f", 0), ("g", 1)]]),
        ([F, Piece("b"), F], [[("f", 0)], "b", [("f", 1)]]),
        ([Piece(), Piece("")], []),
        ([Piece("a"), Piece("b", error="broken"), Piece("c")], ["a", "b", "c"]),
    ],
)
async def test_neighbours_of_one_kind_are_one_chunk(pieces: list[Piece], expected: list[object]) -> None:
    *chunks, last = await chunks_of([Text(1, "x"), finished()], Script(pieces))
    assert [said(chunk) for chunk in chunks] == expected
    assert (last.text, last.done, last.done_reason) == ("", True, "stop")


async def test_calls_are_numbered_and_named() -> None:
    chunks = await chunks_of([Text(1, "x"), Text(1, "y"), finished()], Script([F], [G, F]))
    calls = [call for chunk in chunks for call in chunk.tool_calls]
    assert [call.index for call in calls] == [0, 1, 2]
    assert re.fullmatch(r"call_[a-z0-9]{8}", calls[0].id)
    assert calls[1].id == "own"
    assert calls[0].id != calls[2].id
    assert not any(chunk.done for chunk in chunks if chunk.tool_calls)


async def test_what_is_no_call_says_why() -> None:
    [chunk, _] = await chunks_of([Text(1, "x"), finished()], Script([Piece("<tool_call>{", error="broken JSON")]))
    assert (chunk.text, chunk.tool_parse_error) == ("<tool_call>{", "broken JSON")


async def test_what_was_held_back_comes_before_the_end() -> None:
    [late, last] = await chunks_of([finished("length")], Script(held_back=[Piece("<th")]))
    assert (late.text, late.done, last.done_reason) == ("<th", False, "length")


async def test_logprobs_come_with_the_first_chunk_or_alone() -> None:
    events: Events = [
        Text(1, "x", logprobs=(LOGPROB,)),
        Text(1, "", logprobs=(LOGPROB, LOGPROB)),
        Text(1, "y"),
        finished(),
    ]
    first, second, alone, after, last = await chunks_of(events, Script([Piece(thinking="a"), Piece("b")], [Piece("c")]))
    assert [len(chunk.logprobs) for chunk in (first, second, alone, after, last)] == [1, 0, 2, 0, 0]
    assert said(alone) == ""


async def test_logprobs_of_text_that_is_held_back() -> None:
    [alone, last] = await chunks_of([Text(1, "<too", logprobs=(LOGPROB,)), finished()], Script([]))
    assert (alone.logprobs, alone.text, last.logprobs) == ((LOGPROB,), "", ())


async def test_the_last_chunk_has_the_figures() -> None:
    [last] = await chunks_of([finished(stop_sequence="###")], Script(), keep_context=True)
    assert last.stats is not None
    assert (last.stats.prompt_eval_count, last.stats.cached_tokens, last.stats.eval_count) == (5, 2, 2)
    assert (last.stats.prompt_eval_duration, last.stats.eval_duration) == (0.5, 0.25)
    assert (last.stats.load_duration, last.stats.total_duration > 0) == (0.125, True)
    assert (last.context, last.stop_sequence) == ((1, 2, 7, 8), "###")


async def test_what_was_cut_is_told_first_and_last() -> None:
    cut = Truncated(1, 2, 3)
    events: Events = [Text(1, "x"), Text(1, "y"), finished()]
    chunks = await chunks_of(events, Script([Piece("a")], [Piece("b")]), truncated=cut)
    assert [chunk.truncated for chunk in chunks] == [cut, None, cut]
    [only] = await chunks_of([finished()], Script(), truncated=cut)
    assert only.truncated == cut


async def test_answers_that_grow_at_once() -> None:
    events: Events = [
        Text(1, "x", choice=1),
        Text(1, "x", choice=0),
        replace(finished("length"), choice=1),
        Text(1, "x", choice=0),
        finished(),
    ]
    chunks = await chunks_of(events, Script([F], [Piece("b")]), Script([F]))
    assert [(chunk.index, said(chunk), chunk.done_reason) for chunk in chunks] == [
        (1, [("f", 0)], ""),
        (0, [("f", 0)], ""),
        (1, "", "length"),
        (0, "b", ""),
        (0, "", "stop"),
    ]


async def test_one_call_is_enough() -> None:
    events: Events = [Text(1, "x"), Text(1, "y"), finished()]
    chunks = await chunks_of(events, Script([Piece("a"), F, G], [Piece("b"), F]), rules=Rules(several=False))
    assert [said(chunk) for chunk in chunks] == ["a", [("f", 0)], ""]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (finished("length"), "not finished within 2 tokens"),
        (finished(stop_sequence="}"), "cut by the stop string '}'"),
        (finished(), "ended without the tool call"),
    ],
)
async def test_a_call_that_had_to_be_made(end: Finished, reason: str) -> None:
    with pytest.raises(CallUnfinished, match=reason):
        await chunks_of([Text(1, "x"), end], Script([Piece("{")]), rules=Rules(must_call=True))
    chunks = await chunks_of([Text(1, "x"), end], Script([F]), rules=Rules(must_call=True))
    assert chunks[-1].done


def test_plain_output_is_all_text() -> None:
    parser = PLAIN.make(Setup())
    assert (parser.feed("a<think>"), parser.feed(""), parser.finish()) == ([Piece("a<think>")], [], [])
