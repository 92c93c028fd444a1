"""Calls of tools by family, from `golden/tool_calls.json`: the same however an answer is cut."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from answers import TOOLS, cuts, parse
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.prompt.output import JSON_CALLS, Output, Setup, output_for
from ollama_jupyter.prompt.parsers import names

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "tool_calls.json").read_text("utf-8"))
ROWS = [(family, row) for family, rows in GOLDEN.items() for row in rows]


def output(family: str) -> Output:
    if family == "json":
        return JSON_CALLS
    if family.startswith("template "):
        return output_for(parser="", kind="jinja", source="tools " + family.removeprefix("template "))
    return output_for(parser=family, kind="go", source=None)


def expected(row: dict[str, Any]) -> list[Any]:
    return [tuple(piece) for piece in row["pieces"]]


@pytest.mark.parametrize(("family", "row"), ROWS, ids=lambda value: value if isinstance(value, str) else value["what"])
def test_the_pieces_are_the_same_however_it_is_cut(family: str, row: dict[str, Any]) -> None:
    for parts in cuts(row["text"]):
        assert parse(output(family), parts) == expected(row), parts


def test_the_table_is_whole() -> None:
    assert len(GOLDEN) >= 10
    for family, rows in GOLDEN.items():
        assert {"one call", "two calls", "call after prose", "broken call"} <= {row["what"] for row in rows}, family


@pytest.mark.parametrize("family", [*GOLDEN])
def test_without_tools_nothing_is_a_call(family: str) -> None:
    for row in GOLDEN[family]:
        assert not [
            piece for piece in parse(output(family), [row["text"]], tools=()) if piece[0] in ("get_weather", "now")
        ]


PARTS = (
    *(
        "<tool_call>",
        "</tool_call>",
        "<function=now>",
        "</function>",
        "<arg_key>",
        "[TOOL_CALLS]",
        "<think>",
        "</think>",
    ),
    *("<|channel|>", "<|message|>", "<|call|>", "<|start|>", "commentary to=functions.now", "assistant"),
    *("<|tool_call>call:now{}", "<tool_call|>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<|START_ACTION|>"),
    *('{"name": "now"', ', "arguments": {}}', "now()", "[", "]", "{", "}", "<", "(", "a", " ", "\n", "'", '"', "\\"),
)


@pytest.mark.parametrize("family", [*names(), "json"])
@given(text=st.lists(st.sampled_from(PARTS), max_size=12).map("".join), think=st.booleans())
def test_any_answer_is_taken_apart_the_same_however_it_is_cut(family: str, text: str, think: bool) -> None:
    whole = parse(output(family), [text], think=think)
    assert parse(output(family), list(text), think=think) == whole
    assert parse(output(family), [text[: len(text) // 2], text[len(text) // 2 :]], think=think) == whole


@pytest.mark.parametrize(
    "family", ["qwen3-coder", "qwen3", "ministral", "lfm2", "olmo3", "cohere", "gemma4", "deepseek3"]
)
def test_prose_leaves_at_once(family: str) -> None:
    parser = output(family).make(Setup(TOOLS, think=False))
    assert parser.feed("Well")[0].text == "Well"
    assert parser.feed(" then,")[0].text == " then,"
    assert "".join(piece.text for piece in parser.feed(" 1 < 2 and")) == " 1 < 2 and"


@pytest.mark.parametrize("family", [*names(), "json"])
@given(
    text=st.lists(st.sampled_from(("<", "<|", "tool", "_call", "[TOO", "a b", "?", "function", "\n")), max_size=8).map(
        "".join
    )
)
def test_no_more_of_a_prose_is_held_back_than_may_be_a_tag(family: str, text: str) -> None:
    form = output(family)
    parser = form.make(Setup(TOOLS, think=True))
    parser.feed("So " + text)
    held = "".join(piece.text for piece in parser.finish())
    tags = (*form.tags, *([form.thinking.open] if form.thinking else []))
    assert not held or any(tag.startswith(held) for tag in tags)


LONG = 60_000
ENDLESS = {
    "qwen3": '<tool_call>{"name": "now", "arguments": {"a": "' + "</tool_call>" * (LONG // 12),
    "qwen3-coder": "<tool_call>" + "<function=now>" * (LONG // 14) + "</tool_call>",
    "glm-4.7": "<tool_call>now" + "<arg_key>a</arg_key>" * (LONG // 20) + "</tool_call>",
    "json": '{"name": ' + "[" * LONG,
    "lfm2": "<|tool_call_start|>[now(a=" + "(" * LONG + "<|tool_call_end|>",
    "olmo3": "<function_calls>" + "now()\n" * (LONG // 6) + "</function_calls>",
    "gemma4": '<|tool_call>call:now{a:<|"|>' + "<tool_call|>" * (LONG // 12),
    "deepseek3": "<｜tool▁call▁begin｜>now<｜tool▁sep｜>" + "{}" * (LONG // 2) + "<｜tool▁call▁end｜>",
    "ministral": "[TOOL_CALLS]" + "now" * (LONG // 3) + "[ARGS]{}",
    "harmony": "<|start|>" * (LONG // 9) + "x" * LONG,
    "cohere": "<|START_ACTION|>" + "{}" * (LONG // 2) + "<|END_ACTION|>",
}


@pytest.mark.parametrize("family", ENDLESS)
def test_an_answer_that_goes_astray_takes_no_time(family: str) -> None:
    text = ENDLESS[family]
    parts = [text[place : place + 40] for place in range(0, len(text), 40)]
    began = time.process_time()
    pieces = parse(output(family), parts)
    assert time.process_time() - began < 5
    assert pieces or family == "harmony"


def test_a_call_of_harmony_without_offered_tools_is_content_with_a_reason() -> None:
    text = '<|channel|>commentary to=functions.now<|message|>{"a":1}<|call|>'
    parser = output("harmony").make(Setup())
    [piece] = [*parser.feed(text), *parser.finish()]
    assert piece.text == '{"a":1}'
    assert "now" in piece.error
