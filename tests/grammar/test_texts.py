"""Answers that are held to a regular expression, a list of texts, or any JSON object."""

from __future__ import annotations

import json
from typing import Any

import pytest
from drawing import Drawer

from ollama_jupyter import grammar
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Format


@pytest.mark.parametrize(
    ("kind", "value", "answer", "allowed"),
    [
        ("regex", "a/b\\/c", "a/b/c", True),
        ("regex", "[0-9]{3}|x", "123", True),
        ("regex", "[0-9]{3}|x", "1234", False),
        ("regex", "[0-9]{3}|x", "12", False),
        ("regex", "#// é\n", "#// é\n", True),
        ("regex", "a/\nstart: /.*", "b", False),
        ("regex", "a\0b", "a\0b", True),
        ("choice", ("yes", "no"), "yes", True),
        ("choice", ("yes", "no"), "ye", False),
        ("choice", ("yes", "yes, but"), "yes, but", True),
        ("choice", ('"', "\\", "a\nb", "😀", "\0"), '"', True),
        ("choice", ('"', "\\", "a\nb", "😀", "\0"), "a\nb", True),
        ("choice", ('"', "\\", "a\nb", "😀", "\0"), "😀", True),
        ("choice", tuple(map(str, range(10_000))), "9999", True),
        ("json", None, '{"a": [1, {"b": null}]}', True),
        ("json", None, "[1]", False),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_answers_are_what_a_format_allows(drawer: Drawer, kind: Any, value: Any, answer: str, allowed: bool) -> None:
    assert drawer.allows(drawer.form(Format(kind, value)), answer) == allowed


def test_any_json_is_an_object(drawer: Drawer) -> None:
    text = drawer.form(Format("json"))
    for seed in range(5):
        answer = drawer.draw(text, seed, 300)
        assert not answer.finished or isinstance(json.loads(answer.text), dict)


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("regex", "", "a regular expression must have from 1 to 8192 characters"),
        ("regex", "a" * 9000, "a regular expression must have from 1 to 8192 characters"),
        ("regex", 3, "a regular expression must be a string"),
        ("regex", "\ud800", "a regular expression holds half of a surrogate pair, which is no text"),
        ("choice", (), "a list must have from 1 to 10000 texts"),
        ("choice", "abc", "a list must have from 1 to 10000 texts"),
        ("choice", ("a", 3), "a choice must be a string"),
        ("choice", ("a", ""), "choices must not be empty, nor longer than 262144 characters together"),
        ("choice", ("a" * 300_000,), "choices must not be empty, nor longer than 262144 characters together"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_format_is_refused(kind: Any, value: Any, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        grammar.check(Format(kind, value), ())
    assert caught.value.message == f'field "format": {told}'


@pytest.mark.parametrize("pattern", ["(", "a\\", "(?=a)b", "(" * 500 + ")" * 500], ids=lambda value: value[:9])
def test_patterns_that_do_not_compile_are_refused(drawer: Drawer, pattern: str) -> None:
    with pytest.raises(BadRequest, match='field "format": the answer cannot be held to it: ') as caught:
        drawer.form(Format("regex", pattern))
    assert len(caught.value.message) < 400
