"""Ollama's requests to neutral values: tables of the contract's shapes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ollama_jupyter.api import media, ollama, openai
from ollama_jupyter.api.fields import Body, Fields
from ollama_jupyter.errors import BadRequest, ModelNotFound
from ollama_jupyter.messages import Format, Message, PullRequest, PushRequest, ToolCall


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


PNG = b"\x89PNG\r\n\x1a\n" + bytes(5)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.mark.parametrize("parse", [ollama.generate_request, ollama.chat_request])
@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"format": "json"}, "format", Format("json")),
        ({"format": {"type": "object"}}, "format", Format("schema", {"type": "object"})),
        ({"format": {}}, "format", Format("schema", {})),
        ({"format": ""}, "format", None),
        ({"format": None}, "format", None),
        ({"think": True}, "think", True),
        ({"think": False}, "think", False),
        ({"think": "max"}, "think", "max"),
        ({"think": ""}, "think", None),
        ({"logprobs": True}, "logprobs", True),
        ({"top_logprobs": 20}, "top_logprobs", 20),
        ({"top_logprobs": 3.0}, "top_logprobs", 3),
    ],
)
def test_what_both_take(parse: Callable[[Any], Any], body: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(parse({"model": "m"} | body), field) == value


def test_a_suffix_and_images() -> None:
    encoded = base64.b64encode(PNG).decode()
    request = ollama.generate_request({"model": "m", "prompt": "a", "suffix": "b", "images": [encoded]})
    assert (request.suffix, request.images) == ("b", (PNG,))
    wrapped = f"{encoded[:4]}\r\n{encoded[4:]}"  # as some tools wrap base64
    chat = ollama.chat_request({"model": "m", "messages": [{"role": "user", "images": [wrapped]}]})
    assert chat.messages[0].images == (PNG,)


@pytest.mark.parametrize(
    "head", [b"\xff\xd8\xff\xe0", b"GIF89a", b"BM1", b"RIFF1234WEBP", b"RIFF1234WAVE", b"ID3", b"\xff\xfb"]
)
def test_kinds_of_files(head: bytes) -> None:
    assert media.decode(base64.b64encode(head).decode(), "images[0]") == head


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("!", 0),
        ("data:image/png;base64,aGk=", 4),
        ("aGk", 0),
        ("aGkhaGk", 4),
        ("aG-_", 2),
        ("a===", 1),
        ("YQ=x", 3),
        ("YQ==YQ==", 4),
        ("aGk=x", 4),
        ("aG\nk!", 4),
    ],
)
def test_what_is_no_base64(text: str, at: int) -> None:
    with pytest.raises(BadRequest) as refused:
        ollama.generate_request({"model": "m", "images": [text]})
    assert refused.value.message == f"illegal base64 data at input byte {at}"


def test_what_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match=r'"messages\[0\].images\[1\]" must be base64 of a PNG'):
        ollama.chat_request(
            {"model": "m", "messages": [{"images": [base64.b64encode(PNG).decode(), "aGk="]}]},
        )
    monkeypatch.setattr(media, "MAX_FILE", 8)
    with pytest.raises(BadRequest, match=r'"images\[0\]" holds 13 bytes'):
        ollama.generate_request({"model": "m", "images": [base64.b64encode(PNG).decode()]})
    with pytest.raises(BadRequest, match='"images" holds 257 files'):
        ollama.generate_request({"model": "m", "images": [""] * 257})


def test_tools() -> None:
    bare = {"Function": {"NAME": "f", "parameters": None, "strict": True}}
    assert ollama.chat_request({"model": "m", "tools": [WEATHER, bare]}).tools == (
        WEATHER,
        {"type": "function", "function": {"name": "f", "strict": True}},
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ({}, 'field "tools[0].function.name" must name the function'),
        ({"name": 1}, 'field "tools[0].function.name" must be a string, got a number'),
        ({"name": "f", "description": []}, 'field "tools[0].function.description" must be a string, got an array'),
        ({"name": "f", "parameters": "x"}, 'field "tools[0].function.parameters" must be an object, got a string'),
        (
            {"name": "f", "parameters": {"properties": []}},
            'field "tools[0].function.parameters.properties" must be an object, got an array',
        ),
        (
            {"name": "f", "parameters": {"properties": {"a": {"anyOf": [True]}}}},
            'field "tools[0].function.parameters.properties.a.anyOf[0]" must be an object, got a boolean',
        ),
        (
            {"name": "f", "parameters": {"type": 1}},
            'field "tools[0].function.parameters.type" must be a string or an array of strings, got a number',
        ),
        (
            {"name": "f", "parameters": {"required": [1]}},
            'field "tools[0].function.parameters.required" must be an array of strings',
        ),
    ],
)
def test_wrong_tools(function: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ollama.chat_request({"model": "m", "tools": [{"type": "function", "function": function}]})
    assert refused.value.message == message


def test_more_tools_than_anybody_needs() -> None:
    with pytest.raises(BadRequest, match='"tools" holds 257 tools; at most 256'):
        ollama.chat_request({"model": "m", "tools": [WEATHER] * 257})


def test_what_cannot_be_text_is_replaced_in_tools_too() -> None:
    tool = {
        "function": {
            "name": "f",
            "description": "\ud800",
            "parameters": {"properties": {"\udfff": {"enum": ["\ud800"]}}},
        }
    }
    [made] = ollama.chat_request({"model": "m", "tools": [tool]}).tools
    assert json.dumps(made, ensure_ascii=False).encode().decode().count("\ufffd") == 3


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        ({"model": "m", "prompt": "x"}, ()),
        ({"model": "m", "nosuch": 1, "Other": {}, "gone": None}, ("nosuch", "Other")),
        ({"model": "m", "options": {"seed": 1, "mirostat": 2, "null": None}}, ("options.mirostat",)),
        ({"model": "m", "tools": []}, ("tools",)),
        ({"model": "m", "a b": 1, "x\r\ny": 1, "": 1, "é": 1, "c" * 65: 1, "d" * 64: 1}, ("d" * 64,)),
        ({"model": "m"} | {f"f{number}": 1 for number in range(30)}, tuple(f"f{number}" for number in range(20))),
    ],
)
def test_fields_that_nobody_reads(body: dict[str, Any], ignored: tuple[str, ...]) -> None:
    sent = Body(body)
    ollama.generate_request(sent)
    assert sent.ignored() == ignored


def test_fields_of_objects_that_are_read_one_by_one() -> None:
    sent = Body({"outer": {"known": 1, "Unknown": 2, "later": 3}, "more": 1, "else": 2})
    assert Fields(sent).child("outer").integer("known") == 1
    assert sent.ignored() == ("more", "else", "outer.Unknown", "outer.later")
    again = Fields(sent)
    assert (again.integer("more"), again.child("outer").integer("later")) == (1, 3)
    assert sent.ignored() == ("else", "outer.Unknown")
    assert Body({"a": 1}).ignored() == ()  # nobody has looked yet


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
        ({"format": "xml"}, r'invalid format: "\"xml\""; expected "json" or a valid JSON Schema object'),
        ({"format": []}, 'invalid format: "[]"; expected "json" or a valid JSON Schema object'),
        ({"format": False}, 'invalid format: "false"; expected "json" or a valid JSON Schema object'),
        ({"format": deep(65)}, 'field "format" is nested too deeply; at most 64 levels are taken'),
        ({"images": "aGk="}, 'field "images" must be an array, got a string'),
        ({"suffix": 1}, 'field "suffix" must be a string, got a number'),
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
