"""Ollama's requests to neutral values: tables of the contract's shapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ollama_jupyter.api import ollama, openai
from ollama_jupyter.errors import BadRequest, ModelNotFound, NotSupportedYet
from ollama_jupyter.messages import Message, PullRequest, PushRequest, ToolCall


def deep(levels: int) -> dict[str, Any]:
    """An object of so many levels."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


# ---- generate and chat ---------------------------------------------------------------------------------------------


def test_generate_fields() -> None:
    request = ollama.generate_request(
        {
            "MODEL": " m ",
            "Prompt": "p",
            "system": "s",
            "template": "t",
            "context": [1, 2],
            "raw": True,
            "stream": False,
            "keep_alive": "1m",
            "options": {"seed": 1},
            "truncate": False,
            "shift": False,
            "_debug_render_only": True,
            "unknown": {},
        }
    )
    assert (request.model, request.prompt, request.system, request.template) == (" m ", "p", "s", "t")
    assert (request.context, request.raw, request.stream, request.keep_alive) == ((1, 2), True, False, 60.0)
    assert (request.options, request.truncate, request.shift) == ({"seed": 1}, False, False)
    assert request.debug_render_only


def test_defaults_and_nulls() -> None:
    names = ["prompt", "system", "stream", "options", "keep_alive", "context", "think", "format", "images", "suffix"]
    absent, null = (
        ollama.generate_request({"model": "m"}),
        ollama.generate_request({"model": "m"} | dict.fromkeys(names)),
    )
    assert absent == null
    assert (absent.stream, absent.truncate, absent.shift, absent.keep_alive) == (True, True, True, None)


def test_chat_messages() -> None:
    call = {"id": "c", "function": {"index": 1, "name": "f", "arguments": {"a": 1}}}
    request = ollama.chat_request(
        {
            "model": "m",
            "messages": [
                {"Role": "USER", "Content": "hi"},
                {"role": "assistant", "content": None, "thinking": "t", "tool_calls": [call]},
                {"role": "tool", "content": "1", "tool_name": "f", "tool_call_id": "c"},
            ],
        }
    )
    assert request.messages == (
        Message("user", "hi"),
        Message("assistant", "", "t", tool_calls=(ToolCall("f", {"a": 1}, "c", 1),)),
        Message("tool", "1", tool_name="f", tool_call_id="c"),
    )


LATER: list[tuple[str, Any]] = [
    ("format", "json"),
    ("format", {"type": "object"}),
    ("think", True),
    ("think", "high"),
    ("logprobs", True),
    ("top_logprobs", 3),
]


@pytest.mark.parametrize("parse", [ollama.generate_request, ollama.chat_request])
@pytest.mark.parametrize(("field", "value"), LATER)
def test_what_comes_later_is_refused_by_name(parse: Callable[[Any], Any], field: str, value: Any) -> None:
    with pytest.raises(NotSupportedYet) as refused:
        parse({"model": "m", field: value})
    assert field in refused.value.message


@pytest.mark.parametrize(
    ("parse", "body", "field"),
    [
        (ollama.generate_request, {"suffix": "x"}, "suffix"),
        (ollama.generate_request, {"images": ["aGk="]}, "images"),
        (ollama.chat_request, {"tools": [{"type": "function"}]}, "tools"),
        (ollama.chat_request, {"messages": [{"role": "user", "images": ["aGk="]}]}, "messages[0].images"),
    ],
)
def test_what_comes_later_in_one_request(parse: Callable[[Any], Any], body: Any, field: str) -> None:
    with pytest.raises(NotSupportedYet) as refused:
        parse({"model": "m"} | body)
    assert refused.value.field == field


@pytest.mark.parametrize("value", [None, "", [], {}, False])
def test_empty_values_of_later_fields_pass(value: Any) -> None:
    empty = {"think": value} if value is None or value is False else {}
    given = ollama.chat_request({"model": "m", "format": value, "tools": value} | empty)
    assert (given.model, given.think or None) == ("m", None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": 1}, 'field "prompt" must be a string, got a number'),
        ({"stream": "true"}, 'field "stream" must be a boolean, got a string'),
        ({"stream": 1}, 'field "stream" must be a boolean, got a number'),
        ({"options": []}, 'field "options" must be an object, got an array'),
        ({"context": ["a"]}, 'field "context" must be an array of token ids'),
        ({"context": [-1]}, 'field "context" must be an array of token ids'),
        ({"context": [2**31]}, 'field "context" must be an array of token ids'),
        ({"top_logprobs": 1.5}, 'field "top_logprobs" must be an integer, got a number'),
        ({"top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ({"top_logprobs": -1}, "top_logprobs must be between 0 and 20"),
        ({"options": deep(65)}, 'field "options" is nested too deeply; at most 64 levels are taken'),
        ({"keep_alive": 10**400}, "number out of range: keep_alive must be a number of seconds that a float64 holds"),
        ({"keep_alive": "5"}, 'time: missing unit in duration "5"'),
        ({"keep_alive": True}, "Unsupported type: 'bool'"),
        ({"keep_alive": []}, "Unsupported type: '[]interface {}'"),
        (
            {"think": "foo"},
            'invalid think value: "foo" (must be "high", "medium", "low", "max", true, or false)',
        ),
        ({"think": 1}, 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'),
        ({"think": 0}, 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'),
    ],
)
def test_wrong_values_of_generate(body: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ollama.generate_request({"model": "m"} | body)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("hi", 'field "messages" must be an array, got a string'),
        (["hi"], 'field "messages[0]" must be an object, got a string'),
        ([{}, {"content": []}], 'field "messages[1].content" must be a string, got an array'),
        (
            [{"tool_calls": [{"function": {"arguments": "{}"}}]}],
            'field "messages[0].tool_calls[0].function.arguments" must be an object, got a string',
        ),
    ],
)
def test_wrong_messages(messages: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ollama.chat_request({"model": "m", "messages": messages})
    assert refused.value.message == message


def test_without_a_model_each_endpoint_says_what_ollama_says() -> None:
    with pytest.raises(ModelNotFound, match="model '' not found"):
        ollama.generate_request({})
    for parse in (ollama.chat_request, ollama.show_arguments, ollama.delete_argument):
        with pytest.raises(BadRequest, match="model is required"):
            parse({"model": " "})


# ---- models --------------------------------------------------------------------------------------------------------


def test_create_fields() -> None:
    request = ollama.create_request(
        {
            "name": "n",
            "from": "m",
            "files": {"a.gguf": "sha256:1"},
            "license": "L",
            "parameters": {"stop": ["x"]},
            "messages": [{"role": "user", "content": "hi"}],
            "system": "s",
            "stream": False,
        }
    )
    assert (request.model, request.from_, request.files) == ("n", "m", {"a.gguf": "sha256:1"})
    assert (request.license, request.parameters, request.stream) == (("L",), {"stop": ["x"]}, False)
    assert request.messages == (Message("user", "hi"),)
    assert ollama.create_request({"model": "n", "license": ["a", "b"]}).license == ("a", "b")
    assert ollama.create_request({"model": "n"}).files is None
    assert ollama.create_request({"model": "n", "files": {}}).files == {}


def test_create_fields_of_the_weights() -> None:
    request = ollama.create_request(
        {
            "model": "n",
            "adapters": {"a": "x"},
            "draft_files": {"d": "y"},
            "quantize": "q4_K_M",
            "draft_quantize": "q8_0",
            "remote_host": "h",
            "info": {"context_length": 5, "other": [1]},
        }
    )
    assert (request.adapters, request.draft_files) == ({"a": "x"}, {"d": "y"})
    assert (request.quantize, request.draft_quantize, request.remote_host) == ("q4_K_M", "q8_0", "h")
    assert request.info == {"context_length": 5, "other": [1]}
    assert ollama.create_request({"quantization": "F16"}).quantize == "F16"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"files": {"a": 1}}, "files.a"),
        ({"license": 1}, "license"),
        ({"license": [1]}, "license"),
        ({"from": 1}, "from"),
        ({"adapters": ["a"]}, "adapters"),
        ({"draft_files": {"a": None}}, "draft_files.a"),
        ({"quantize": 4}, "quantize"),
        ({"quantization": 4}, "quantization"),
        ({"info": "x"}, "info"),
    ],
)
def test_wrong_values_of_create(body: Any, field: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(f'"{field}"')):
        ollama.create_request({"model": "n"} | body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "a/b:c"}, ("a/b:c", False, True)),
        ({"name": "m", "insecure": True, "stream": False}, ("m", True, False)),
        ({"Model": "m", "NAME": "n", "username": 1, "password": [2]}, ("m", False, True)),
        ({"model": "m", "insecure": None, "stream": None}, ("m", False, True)),
    ],
)
def test_pull_and_push(body: Any, expected: tuple[str, bool, bool]) -> None:
    assert ollama.pull_request(body) == PullRequest(*expected)
    assert ollama.push_request(body) == PushRequest(*expected)


def test_only_push_minds_that_there_is_no_name() -> None:
    """The library refuses it for a pull, in the words that Ollama has there."""
    assert ollama.pull_request({}).model == ""
    with pytest.raises(BadRequest, match=r"^model is required$"):
        ollama.push_request({"model": ""})


# ---- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "body", "field", "found"),
    [
        (ollama.chat_request, {"messages": [{}] * 10_001}, "messages", 10_001),
        (ollama.chat_request, {"messages": [{"tool_calls": [{}] * 10_000}]}, "messages[0].tool_calls", 10_001),
        (ollama.chat_request, {"messages": [{"tool_calls": [{}] * 90}] * 200}, "messages[108].tool_calls", 10_010),
        (ollama.create_request, {"license": ["x"] * 10_001}, "license", 10_001),
        (openai.chat_request, {"messages": [{}] * 10_001}, "messages", 10_001),
        (openai.chat_request, {"messages": [{"content": [{}] * 10_000}]}, "messages[0].content", 10_001),
        (openai.chat_request, {"messages": [{"content": ""}], "stop": ["x"] * 10_000}, "stop", 10_001),
    ],
)
def test_more_elements_than_anybody_needs(read: Any, body: dict[str, Any], field: str, found: int) -> None:
    with pytest.raises(BadRequest) as caught:
        read({"model": "m"} | body)
    expected = f'field "{field}" brings the request to {found} array elements; at most 10000 are taken'
    assert caught.value.message == expected


def test_as_many_as_are_taken() -> None:
    assert len(ollama.chat_request({"model": "m", "messages": [{}] * 10_000}).messages) == 10_000


@pytest.mark.parametrize(
    ("read", "body", "field"),
    [
        (ollama.create_request, {"parameters": deep(900)}, "parameters"),
        (
            ollama.chat_request,
            {"messages": [{"tool_calls": [{"function": {"arguments": deep(65)}}]}]},
            "messages[0].tool_calls[0].function",
        ),
    ],
)
def test_what_is_nested_too_deeply(read: Any, body: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest, match="nested too deeply") as caught:
        read({"model": "m"} | body)
    assert f'"{field}"' in caught.value.message


def test_as_deep_as_is_taken() -> None:
    assert ollama.generate_request({"model": "m", "options": deep(64)}).options == deep(64)
