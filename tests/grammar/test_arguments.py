"""Calls whose arguments are XML-like elements or Python's keywords: held where the model begins them."""

from __future__ import annotations

from typing import Any

import pytest
from drawing import Drawer
from test_calls import TOOLS, is_valid, read

from ollama_jupyter import grammar
from ollama_jupyter.prompt.output import Output, output_for

XML = output_for(parser="qwen3-coder", kind="go", source=None)
PYTHON = output_for(parser="lfm2", kind="go", source=None)


def planned(drawer: Drawer, output: Output, **asked: Any) -> str | None:
    return grammar.plan(output=output, specials=drawer.specials, **({"tools": TOOLS, "parallel": False} | asked))


def xml(name: str, *values: tuple[str, str]) -> str:
    lines = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values)
    return f"Let me see.\n<tool_call>\n<function={name}>\n{lines}</function>\n</tool_call>"


def python(call: str) -> str:
    return f"Let me see.\n<|tool_call_start|>[{call}]<|tool_call_end|>"


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (xml("now"), True),
        (xml("later"), False),
        (xml("weather", ("city", 'São "Paulo"\n<b>, 1'), ("unit", "celsius")), True),
        (xml("weather", ("city", "Rome"), ("unit", "celsius"), ("days", "3")), True),
        (xml("weather", ("city", "Rome"), ("unit", "kelvin")), False),
        (xml("weather", ("city", "Rome"), ("unit", "celsius"), ("days", "30")), False),
        (xml("weather", ("city", "Rome")), False),
        (xml("weather", ("city", "Rome"), ("unit", "celsius"), ("day", "3")), False),
        (xml("send-mail", ("to", '[{"name": "Ann"}]'), ("text", "Hi")), True),
        (xml("send-mail", ("to", '[{"nam": "Ann"}]'), ("text", "Hi")), False),
        (xml("send-mail", ("to", "Ann"), ("text", "Hi")), False),
        ("There is no <tool> for that.", True),
    ],
)
def test_elements_fit_the_schema(drawer: Drawer, answer: str, allowed: bool) -> None:
    text = planned(drawer, XML)
    assert text is not None
    assert drawer.allows(text, answer) == allowed
    if allowed:
        assert all(map(is_valid, read(XML, answer)[0]))


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (python("now()"), True),
        (python('weather(city="Rome", unit="celsius")'), True),
        (python('weather(city="Rome", unit="celsius", days=3)'), True),
        (python('weather(city="Rome", unit="kelvin")'), False),
        (python('weather(city="Rome")'), False),
        (python('weather("Rome")'), False),
        (python('send-mail(to=[{"name": "Ann"}], text="Hi")'), True),
    ],
)
def test_keywords_fit_the_schema(drawer: Drawer, answer: str, allowed: bool) -> None:
    text = planned(drawer, PYTHON)
    assert text is not None
    assert drawer.allows(text, answer) == allowed


def test_drawn_keywords_are_read_by_the_parser(drawer: Drawer) -> None:
    text = planned(drawer, PYTHON)
    assert text is not None
    for seed in range(8):
        answer = drawer.draw(text, seed, 400, after="<|tool_call_start|>")
        calls, _ = read(PYTHON, answer.text)
        assert len(calls) == 1, answer.text
        assert is_valid(calls[0]), answer.text


@pytest.mark.parametrize("call", ["f()", "f(b=1)", "f(a=1, c=2)", "f(b=1, c=2)", "f(c=2)", "f(a=1, b=1, c=2)"])
def test_any_keyword_may_be_left_out_that_is_not_required(drawer: Drawer, call: str) -> None:
    properties = {key: {"type": "integer"} for key in "abc"}
    text = planned(drawer, PYTHON, tools=[{"function": {"name": "f", "parameters": {"properties": properties}}}])
    assert text is not None
    assert drawer.allows(text, python(call))


@pytest.mark.parametrize(
    ("schema", "value", "allowed"),
    [
        ({"$ref": "#/$defs/word"}, "any thing", True),
        ({"$ref": "#/$defs/count"}, "any thing", False),
        ({"$ref": "#/$defs/count"}, "3", True),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null", True),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "no", False),
        ({"type": ["string", "integer"]}, "any thing", True),
        ({"enum": [1, 2]}, "3", False),
        ({}, "any thing", True),
    ],
)
def test_a_value_is_free_where_it_may_be_a_text(drawer: Drawer, schema: Any, value: str, allowed: bool) -> None:
    parameters = {
        "properties": {"a": schema},
        "required": ["a"],
        "$defs": {"word": {"type": "string"}, "count": {"type": "integer"}},
    }
    text = planned(drawer, XML, tools=[{"function": {"name": "f", "parameters": parameters}}])
    assert text is not None
    assert drawer.allows(text, xml("f", ("a", value))) == allowed


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "required": ["b"]},
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"a b": {}}},
        {"anyOf": [{"properties": {"a": {}}}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("output", [XML, PYTHON], ids=["xml", "python"])
def test_where_parameters_are_no_plain_list_calls_are_free(drawer: Drawer, output: Output, parameters: Any) -> None:
    assert planned(drawer, output, tools=[{"function": {"name": "f", "parameters": parameters}}]) is None
