"""Thinking by family, from `golden/thinking.json`: the same however an answer is cut."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from answers import cuts, merged, parse
from hypothesis import given
from hypothesis import strategies as st
from test_tool_texts import output

from ollama_jupyter.prompt.output import Piece, Thinking
from ollama_jupyter.prompt.split import Chain, ThinkingSplitter, find, possible

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "thinking.json").read_text("utf-8"))
ROWS = [(family, row) for family, rows in GOLDEN.items() for row in rows]
TAGS = Thinking("<think>", "</think>")

pieces_of_tags = st.sampled_from(
    ["<think>", "</think>", "<th", "ink>", "</", "<", " ", "\n", "a", "b c", "<tool_call>"]
)
answers = st.lists(pieces_of_tags, max_size=10).map("".join)


@pytest.mark.parametrize(("family", "row"), ROWS, ids=lambda value: value if isinstance(value, str) else value["what"])
def test_the_pieces_are_the_same_however_it_is_cut(family: str, row: dict[str, Any]) -> None:
    expected = [tuple(piece) for piece in row["pieces"]]
    for parts in cuts(row["text"]):
        assert parse(output(family), parts, think=row["think"], prompt=row["prompt"]) == expected, parts


def splitter(opened: bool = False, wanted: bool = True) -> ThinkingSplitter:
    return ThinkingSplitter(TAGS, opened=opened, wanted=wanted, ends=("<tool_call>",))


def reference(text: str, opened: bool) -> list[tuple[str, str]]:
    """What a whole answer is made of, by regular expressions."""
    rest = text if opened else "".join(re.findall(r"\A\s*<think>(.*)\Z", text, re.DOTALL))
    if not opened and not re.match(r"\s*<think>", text):
        return [("text", text)] if text else []
    thought, close, answer = re.findall(r"\A(.*?)(</think>|(?=<tool_call>)|\Z)(.*)\Z", rest.lstrip(), re.DOTALL)[0]
    pieces = [("thinking", thought), ("text", answer.lstrip() if close else answer)]
    return [piece for piece in pieces if piece[1]]


@given(text=answers, opened=st.booleans())
def test_nothing_is_lost_or_doubled(text: str, opened: bool) -> None:
    parser = splitter(opened)
    pieces = [piece for letter in text for piece in parser.feed(letter)]
    assert merged([*pieces, *parser.finish()]) == reference(text, opened)


@given(text=answers, opened=st.booleans())
def test_no_more_is_held_back_than_may_be_a_tag(text: str, opened: bool) -> None:
    parser = splitter(opened)
    parser.feed(text)
    held = "".join(piece.text + piece.thinking for piece in parser.finish()).strip()
    assert any(tag.startswith(held) for tag in ("<think>", "</think>", "<tool_call>"))


@given(st.text("ab<>", max_size=12), st.lists(st.text("ab<>", min_size=1, max_size=4), min_size=1, max_size=3))
def test_find_and_possible(text: str, tags: list[str]) -> None:
    at, tag = find(text, tags)
    places = [text.find(one) for one in tags if one in text]
    assert at == min(places, default=-1)
    assert not tag or (tag in tags and text.startswith(tag, at))
    assert not any(one in tags and len(one) > len(tag) and text.startswith(one, at) for one in tags if tag)
    count = possible(text, tags)
    assert not count or any(one.startswith(text[-count:]) and one != text[-count:] for one in tags)
    assert not any(
        one.startswith(text[-more:]) and len(one) > more for one in tags for more in range(count + 1, len(text) + 1)
    )


def test_what_one_leaves_as_text_the_next_looks_into() -> None:
    chain = Chain(splitter(), ThinkingSplitter(Thinking("[", "]"), opened=False, wanted=True))
    pieces = chain.feed("<think>a</think>[b]c") + chain.finish()
    assert pieces == [Piece(thinking="a"), Piece(thinking="b"), Piece("c")]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("So <think>a</think>b", "So b"),
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("x</think>b", "xb"),
        ("a <think>never ends", "a never ends"),
        ("a < b and <thin", "a < b and <thin"),
    ],
)
def test_thinking_that_is_not_wanted_leaves_no_tags_anywhere(text: str, left: str) -> None:
    for parts in cuts(text):
        parser = splitter(wanted=False)
        pieces = [piece for part in parts for piece in parser.feed(part)]
        assert "".join(piece.text for piece in [*pieces, *parser.finish()]) == left, parts


@given(text=answers, opened=st.booleans())
def test_thinking_that_is_not_wanted_is_the_same_however_it_is_cut(text: str, opened: bool) -> None:
    found = []
    for parts in ([text], list(text)):
        parser = splitter(opened, wanted=False)
        pieces = [piece for part in parts for piece in parser.feed(part)]
        found.append("".join(piece.text for piece in [*pieces, *parser.finish()]))
    assert found[0] == found[1]
