"""Ollama's dictionaries to neutral values and back: tables of the contract's shapes."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from fakes import DETAILS, STATS, description
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.api import ollama, ollama_answers, wire
from ollama_jupyter.api.fields import decode_object, image_size
from ollama_jupyter.durations import FOREVER
from ollama_jupyter.errors import BadRequest, ModelNotFound, NotSupportedYet
from ollama_jupyter.messages import Chunk, Message, ModelSummary, Progress, RunningModel, Stats, ToolCall, Truncated
from ollama_jupyter.server.body import JsonBody, TextMeter

# ---- reading JSON --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"null", {}),
        (b" {} ", {}),
        (b'{"a":1}{"b":2}', {"a": 1}),
        (b'\n{"a":null} garbage', {"a": None}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
    ],
)
def test_the_first_value_counts(body: bytes, value: Any) -> None:
    assert decode_object(body) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(decode_object(body), dict)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_constants_of_javascript_are_no_json(text: str) -> None:
    with pytest.raises(BadRequest):
        decode_object(f'{{"a":{text}}}'.encode())


def test_lone_surrogates_become_replacement_characters() -> None:
    request = ollama.generate_request(decode_object(b'{"model":"m","prompt":"a\\ud800b"}'))
    assert request.prompt == "a\ufffdb"


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
        (ollama.create_request, {"quantize": "q4_0"}, "quantize"),
        (ollama.create_request, {"remote_host": "x"}, "remote_host"),
    ],
)
def test_what_comes_later_in_one_request(parse: Callable[[Any], Any], body: Any, field: str) -> None:
    with pytest.raises(NotSupportedYet) as refused:
        parse({"model": "m"} | body)
    assert refused.value.field == field


@pytest.mark.parametrize("value", [None, "", [], {}, False])
def test_empty_values_of_later_fields_pass(value: Any) -> None:
    empty = {"think": value} if value is None or value is False else {}
    ollama.chat_request({"model": "m", "format": value, "tools": value} | empty)


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


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"files": {"a": 1}}, "files.a"),
        ({"license": 1}, "license"),
        ({"license": [1]}, "license"),
        ({"from": 1}, "from"),
    ],
)
def test_wrong_values_of_create(body: Any, field: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(f'"{field}"')):
        ollama.create_request({"model": "n"} | body)


# ---- answers -------------------------------------------------------------------------------------------------------

METRICS = {
    "total_duration": 1_500_000_000,
    "load_duration": 250_000_000,
    "prompt_eval_count": 10,
    "prompt_eval_duration": 500_000_000,
    "eval_count": 2,
    "eval_duration": 125_000_000,
}
FINAL = Chunk(done=True, done_reason="length", stats=STATS, context=(7, 8), truncated=Truncated(2, 30, 64))


def test_generate_chunks() -> None:
    first = ollama_answers.generate_chunk("M", Chunk("Hi"))
    assert list(first) == ["model", "created_at", "response", "done"]
    assert (first["model"], first["response"], first["done"]) == ("M", "Hi", False)
    last = ollama_answers.generate_chunk("M", FINAL)
    order = ["model", "created_at", "response", "done", "done_reason", "context", *METRICS, "truncated"]
    assert list(last) == order
    assert {name: last[name] for name in METRICS} == METRICS
    assert last["truncated"] == {"messages": 2, "tokens": 30, "num_ctx": 64}


def test_chat_chunks() -> None:
    first = ollama_answers.chat_chunk("M", Chunk("Hi"))
    assert list(first) == ["model", "created_at", "message", "done"]
    assert first["message"] == {"role": "assistant", "content": "Hi"}
    last = ollama_answers.chat_chunk("M", FINAL)
    assert list(last) == ["model", "created_at", "message", "done", "done_reason", *METRICS, "truncated"]


def test_zero_metrics_are_left_out() -> None:
    answer = ollama_answers.chat_chunk("M", Chunk(done=True, done_reason="stop", stats=Stats(total_duration=1e-9)))
    assert list(answer)[5:] == ["total_duration"]
    assert answer["total_duration"] == 1


def test_rendered_prompts() -> None:
    chunk = Chunk(rendered="<s>hi")
    generated = ollama_answers.generate_chunk("M", chunk)
    assert (generated["done"], generated["_debug_info"]) == (False, {"rendered_template": "<s>hi"})
    assert ollama_answers.chat_chunk("M", chunk)["message"] == {"role": "", "content": ""}


def test_tags() -> None:
    [row] = ollama_answers.tags([ModelSummary("m:latest", 1e9, 5, "ab", DETAILS, ("completion",))])["models"]
    assert list(row) == ["name", "model", "modified_at", "size", "digest", "details", "capabilities"]
    assert list(row["details"]) == [
        "parent_model",
        "format",
        "family",
        "families",
        "parameter_size",
        "quantization_level",
        "context_length",
        "embedding_length",
    ]


def test_ps() -> None:
    [row] = ollama_answers.ps([RunningModel("m:latest", 5, "ab", DETAILS, FOREVER, 0, 2048)])["models"]
    order = ["name", "model", "size", "digest", "details", "expires_at", "size_vram", "context_length"]
    assert list(row) == order
    assert "context_length" not in row["details"]
    assert 290 < int(row["expires_at"][:4]) - datetime.now().year < 295


def test_show() -> None:
    answer = ollama_answers.show(description())
    order = [
        "modelfile",
        "template",
        "details",
        "messages",
        "model_info",
        "tensors",
        "capabilities",
        "modified_at",
    ]
    assert list(answer) == order
    assert list(answer["model_info"]) == sorted(answer["model_info"])
    assert answer["model_info"]["tokenizer.ggml.tokens"] is None
    assert answer["tensors"] == [{"name": "output.weight", "type": "Q8_0", "shape": [576, 49152]}]


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Progress("success"), b'{"status":"success"}'),
        (
            Progress("pulling x", "sha256:1", 10, 5),
            b'{"status":"pulling x","digest":"sha256:1","total":10,"completed":5}',
        ),
        (Progress("pulling x", "sha256:1", 10), b'{"status":"pulling x","digest":"sha256:1","total":10}'),
    ],
)
def test_progress(step: Progress, line: bytes) -> None:
    assert wire.encode(ollama_answers.progress(step)) == line


# ---- encoding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "<&>"}, '{"a":"\\u003c\\u0026\\u003e"}'),
        ({"a": "\u2028\u2029"}, '{"a":"\\u2028\\u2029"}'),
        ({"a": 'é \U0001f600 \n"'}, '{"a":"é \U0001f600 \\n\\""}'),
        ([1, None, True, 0.5], "[1,null,true,0.5]"),
    ],
)
def test_encoding_is_gos(value: Any, text: str) -> None:
    assert wire.encode(value).decode() == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_encoding_loses_nothing(value: Any) -> None:
    encoded = wire.encode(value)
    assert json.loads(encoded) == value
    assert b"\n" not in encoded


def test_a_lone_surrogate_does_not_break_the_stream() -> None:
    assert json.loads(wire.encode({"a": "\ud800"})) == {"a": "?"}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (10000.0, 10000),
        (1e-05, 1e-05),
        (float("inf"), None),
        (float("nan"), None),
        (1e22, 1e22),
        ({"b": 1.0, "a": [2.0]}, {"a": [2], "b": 1}),
    ],
)
def test_metadata(value: Any, plain: Any) -> None:
    result = wire.metadata(value)
    assert (result, type(result)) == (plain, type(plain))


def test_created_at_is_utc_with_trimmed_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    for nanos, text in [
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
    ]:
        monkeypatch.setattr(time, "time_ns", lambda nanos=nanos: nanos)
        assert wire.utc_now() == text


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2023-11-14T22:13:20.25Z"),
        ("Asia/Kolkata", "2023-11-15T03:43:20.25+05:30"),
        ("America/St_Johns", "2023-11-14T18:43:20.25-03:30"),
    ],
)
def test_local_times_carry_the_offset(zone: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert wire.local_time(1_700_000_000.25) == text
        assert re.fullmatch(r"23\d\d-.*(Z|[+-]\d\d:\d\d)", wire.local_time(FOREVER))
    finally:
        monkeypatch.undo()
        time.tzset()


# ---- what is text and what is an image -----------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([b"word ", b'"', b"A" * 300, b"B" * 200, b"9,", b"C" * 1000, b"\\/"]), max_size=30),
    st.data(),
)
def test_the_meter_does_not_depend_on_the_pieces(parts: list[bytes], data: st.DataObject) -> None:
    whole, pieces = b"".join(parts) + b'"', TextMeter()
    at_once = TextMeter()
    at_once.feed(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        pieces.feed(whole[begin:end])
    runs = sum(len(run) for run in re.findall(rb"[A-Za-z0-9+/=\\]{256,}", whole))
    assert pieces.text == at_once.text == len(whole) - runs


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({"images": ["aaaa", "bb"]}, 6),
        ({"Messages": [{"IMAGES": ["aaaa"]}, {"content": "long text"}]}, 4),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "aaaa"}}, {"text": "x"}]}]}, 4),
        ({"messages": [{"content": [{"image_url": "aaaa"}]}]}, 4),
        ({"prompt": "aaaa", "url": "aaaa", "messages": "aaaa", "content": "aaaa"}, 0),
        ({"images": "aaaa"}, 4),
        ({"images": [1, {"x": "y"}]}, 0),
    ],
)
def test_image_size(body: Any, size: int) -> None:
    assert image_size(body) == size


def test_a_large_image_passes_the_text_limit() -> None:
    body = JsonBody()
    body.feed(b'{"model":"m","images":["' + b"A" * (6 << 20) + b'"]}')
    assert len(body.decode()["images"][0]) == 6 << 20
