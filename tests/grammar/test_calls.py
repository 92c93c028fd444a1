"""Whole answers with calls: what a grammar allows is what the parser of the same output reads, and tools take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
from drawing import Drawer

from ollama_jupyter import grammar
from ollama_jupyter.engine.constrain import compile_grammar
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Format, Tool, ToolCall, ToolChoice
from ollama_jupyter.prompt.output import JSON_CALLS, CallSyntax, Output, Setup, output_for
from ollama_jupyter.prompt.parsers import names

SCHEMAS: Mapping[str, Any] = {
    "weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["city", "unit"],
    },
    "send-mail": {
        "type": "object",
        "properties": {"to": {"type": "array", "items": {"$ref": "#/$defs/person"}}, "text": {"type": "string"}},
        "required": ["to", "text"],
        "$defs": {"person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    },
    "now": {},
}
TOOLS: list[Tool] = [
    {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in SCHEMAS.items()
]
REQUIRED = ToolChoice("required")
OUTPUTS = [*(output_for(parser=name, kind="go", source=None) for name in names()), JSON_CALLS]
JSON_OUTPUTS = [output for output in OUTPUTS if output.calls and output.calls.arguments == "json"]
by_name = pytest.mark.parametrize("output", JSON_OUTPUTS, ids=lambda output: str(output.name))


def forced(drawer: Drawer, output: Output, **asked: Any) -> str:
    text = grammar.plan(output=output, specials=drawer.specials, tools=TOOLS, **({"choice": REQUIRED} | asked))
    assert text is not None
    return text


def read(output: Output, answer: str, *, think: bool = False) -> tuple[list[ToolCall], str]:
    """The calls in an answer, and its text."""
    parser = output.make(Setup(TOOLS, think))
    pieces = [*parser.feed(answer), *parser.finish()]
    assert [piece.error for piece in pieces if piece.error] == []
    return [piece.call for piece in pieces if piece.call], "".join(piece.text for piece in pieces)


def is_valid(call: ToolCall) -> bool:
    return jsonschema.Draft202012Validator(SCHEMAS[call.name]).is_valid(call.arguments)


@by_name
def test_forced_calls_are_read_by_the_parser_and_fit_their_tools(drawer: Drawer, output: Output) -> None:
    text = forced(drawer, output)
    seen = set()
    for seed in range(6):
        answer = drawer.draw(text, seed, 400)
        assert answer.finished, answer.text
        calls, prose = read(output, answer.text)
        assert calls, answer.text
        assert prose.strip() == ""
        assert all(map(is_valid, calls)), answer.text
        seen |= {call.name for call in calls}
    assert len(seen) > 1


@by_name
def test_a_named_tool_is_called_once(drawer: Drawer, output: Output) -> None:
    text = forced(drawer, output, choice=ToolChoice("required", "send-mail"))
    for seed in range(3):
        calls, _ = read(output, drawer.draw(text, seed, 400).text)
        assert [call.name for call in calls] == ["send-mail"]


@by_name
def test_without_parallel_calls_there_is_one(drawer: Drawer, output: Output) -> None:
    text = forced(drawer, output, parallel=False)
    assert all(len(read(output, drawer.draw(text, seed, 400).text)[0]) == 1 for seed in range(3))


@by_name
def test_a_call_that_the_model_begins_itself_fits_its_tool(drawer: Drawer, output: Output) -> None:
    assert output.calls is not None
    text = forced(drawer, output, choice=ToolChoice(), parallel=False)
    prose = "" if output is JSON_CALLS else "Let me see.\n"  # bare JSON is a call where an answer begins with it
    for seed in range(3):
        answer = drawer.draw(text, seed, 400, after=prose + output.calls.trigger)
        assert answer.finished, answer.text
        calls, _ = read(output, answer.text)
        assert len(calls) == 1, answer.text
        assert is_valid(calls[0]), answer.text


@by_name
def test_prose_is_free_where_a_model_may_call(drawer: Drawer, output: Output) -> None:
    text = forced(drawer, output, choice=ToolChoice())
    assert drawer.allows(text, "I need no tool {for} that: 1 < 2, [so]. \n\n```json\n{}\n``` Über!")
    assert drawer.allows(text, "")


def test_the_end_of_the_budget_closes_a_call(drawer: Drawer) -> None:
    for output in JSON_OUTPUTS:
        text = forced(drawer, output, choice=ToolChoice("required", "weather"))
        answer = drawer.draw(text, 1, 96)
        assert answer.finished, answer.text
        assert is_valid(read(output, answer.text)[0][0])


def test_strings_of_forced_calls_have_an_end(drawer: Drawer) -> None:
    text = forced(drawer, JSON_CALLS)
    call = '{"name": "weather", "arguments": {"city": "%s", "unit": "celsius"}}'
    assert drawer.allows(text, call % ("ab " * 85))
    assert not drawer.allows(text, call % ("ab " * 86))


@pytest.mark.parametrize(
    ("free", "value"),
    [
        ({}, "{}"),
        (True, "{}"),
        ({}, '{{"k": {}}}'),
        ({"type": "object"}, '{{"k": {}}}'),
        ({"type": "array"}, "[1, [{}]]"),
        ({"type": ["string", "null"]}, "{}"),
    ],
)
def test_strings_have_an_end_wherever_a_schema_leaves_them_free(drawer: Drawer, free: Any, value: str) -> None:
    function = {"name": "f", "parameters": {"properties": {"a": free}, "required": ["a"]}}
    text = grammar.plan(output=JSON_CALLS, specials=drawer.specials, tools=[{"function": function}], choice=REQUIRED)
    assert text is not None

    def call(length: int) -> str:
        return f'{{"name": "f", "arguments": {{"a": {value.format(json.dumps("ab " * length))}}}}}'

    assert drawer.allows(text, call(80))
    assert not drawer.allows(text, call(100))


# ---- thinking -------------------------------------------------------------------------------------------------------

THINKING = output_for(parser="qwen3", kind="go", source=None)
CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize(
    ("prompt", "answer", "allowed"),
    [
        ("", f"<think>\nhm, <b>\n</think>\n\n{CALL}", True),
        ("", CALL, True),
        ("", f"<think>\nhm {CALL}", False),
        ("", f"well, {CALL}", False),
        ("user\n<think>\n", f"hm {{}}\n</think>\n\n{CALL}", True),
        ("user\n<think>\n", CALL, False),
    ],
)
def test_a_forced_call_comes_after_thinking(drawer: Drawer, prompt: str, answer: str, allowed: bool) -> None:
    text = forced(drawer, THINKING, think=True, prompt=prompt)
    assert drawer.allows(text, answer) == allowed


@pytest.mark.parametrize(
    ("think", "answer", "allowed"),
    [
        (True, '<think>Is it {"b": 2}?</think>\n\n{"a": 1}', True),
        (True, '{"a": 1}', True),
        (True, '<think>hm</think>{"a": "x"}', False),
        (True, '<think>hm</think>so: {"a": 1}', False),
        (False, '{"a": 1}', True),
        (False, '<think>hm</think>{"a": 1}', False),
    ],
)
def test_a_format_holds_once_thinking_has_ended(drawer: Drawer, think: bool, answer: str, allowed: bool) -> None:
    form = Format("schema", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    text = grammar.plan(output=THINKING, specials=drawer.specials, form=form, think=think)
    assert text is not None
    assert drawer.allows(text, answer) == allowed


@pytest.mark.parametrize(
    "answer",
    [
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes",
        "<|channel|>final<|message|>yes",
        "yes",
    ],
)
def test_a_format_holds_in_the_final_channel_of_harmony(drawer: Drawer, answer: str) -> None:
    output = output_for(parser="harmony", kind="go", source=None)
    asked = {"form": Format("choice", ("yes", "no")), "think": True, "prompt": "<|start|>assistant"}
    text = grammar.plan(output=output, specials=drawer.specials, **asked)
    assert text is not None
    assert drawer.allows(text, answer)
    assert not drawer.allows(text, answer.replace("yes", "maybe"))
    assert read(output, answer, think=True) == ([], "yes")


def test_beside_a_format_tools_may_be_called(drawer: Drawer) -> None:
    text = forced(drawer, THINKING, choice=ToolChoice(), form=Format("choice", ("yes", "no")))
    assert drawer.allows(text, "yes")
    assert drawer.allows(text, CALL)
    assert not drawer.allows(text, "maybe")


@pytest.mark.parametrize(
    "asked", [{"tools": []}, {"tools": TOOLS, "choice": ToolChoice("none")}], ids=["no tools", "none"]
)
def test_without_calls_and_formats_nothing_is_held(drawer: Drawer, asked: dict[str, Any]) -> None:
    assert grammar.plan(output=THINKING, specials=drawer.specials, **asked) is None


# ---- special tokens --------------------------------------------------------------------------------------------------

TAGGED = Output(
    "tagged", JSON_CALLS.make, calls=CallSyntax("<jupyter_code>", '<jupyter_code>{"n": "{name}", "a": ', "}")
)


def test_tags_are_special_tokens_where_the_vocabulary_has_them(drawer: Drawer) -> None:
    assert not set(drawer.specials) & {"<|im_end|>", "<|endoftext|>"}, "end tokens end the answer"
    text = forced(drawer, TAGGED, choice=ToolChoice(), parallel=False)
    call = '<jupyter_code>{"n": "now", "a": {}}'
    assert drawer.allows(text, f"so: {call}")
    assert not drawer.allows(text, f"so: {call} and")
    assert not drawer.allows(text, "so: <jupyter_code>print()")
    assert drawer.allows(text, "so: <jupyter_output>print()")
    assert drawer.allows(forced(drawer, TAGGED), call)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"not": {}}, 'the keyword "not" is not supported at $.properties.a.not'),
        ({"format": "iri"}, 'the "format" iri is not supported at $.properties.a.format'),
        ({"$ref": "http://x/y"}, '"$ref" to another document is not supported at $.properties.a.$ref'),
    ],
    ids=["not", "format", "ref"],
)
def test_tools_that_cannot_be_held_are_refused(schema: dict[str, Any], told: str) -> None:
    parameters = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(BadRequest) as caught:
        grammar.check(None, [{"function": {"name": "f", "parameters": parameters}}])
    assert caught.value.message == f'field "tools.f.parameters": {told}'


def test_a_grammar_that_does_not_compile_is_explained_by_its_tool(drawer: Drawer) -> None:
    schema = {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"minLength": 3}]}}}
    tools = [{"function": {"name": "f", "parameters": schema}}]
    text = grammar.plan(output=JSON_CALLS, specials=drawer.specials, tools=tools, choice=REQUIRED)
    assert text is not None
    with pytest.raises(BadRequest) as caught:
        compile_grammar(text, drawer.vocab)
    told = grammar.explain(caught.value, None, tools).message
    assert told.startswith('field "tools.f.parameters": the keyword "oneOf" at $.properties.a.oneOf cannot be held')
