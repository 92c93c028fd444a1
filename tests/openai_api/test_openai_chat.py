"""OpenAI's chat completions: bodies to requests, chunks to objects."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from fakes import DETAILS, STATS

from ollama_jupyter.api import openai
from ollama_jupyter.api.fields import Body
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import (
    Chunk,
    Format,
    Message,
    ModelSummary,
    Options,
    TokenLogprob,
    ToolCall,
    ToolChoice,
    Truncated,
)

USER = {"role": "user", "content": "hi"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(3)
WAV = b"RIFF1234WAVE"
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def parse(**fields: Any) -> Any:
    return openai.chat_request({"model": "m", "messages": [USER]} | fields)


# ---- requests ------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    request, include_usage = parse()
    assert (request.model, request.messages, request.stream) == ("m", (Message("user", "hi"),), False)
    assert request.options == {}  # the model's own parameters hold
    assert (request.n, request.think, request.format, request.tools) == (1, None, None, ())
    assert not include_usage


def test_options() -> None:
    request, include_usage = parse(
        temperature=0,
        top_p=0.5,
        max_tokens=7,
        seed=3,
        stop="x",
        frequency_penalty=0.1,
        presence_penalty=0.2,
        stream=True,
        stream_options={"include_usage": True},
    )
    options = Options.merge(request.options)
    assert (options.temperature, options.top_p, options.num_predict, options.seed) == (0, 0.5, 7, 3)
    assert (options.stop, options.frequency_penalty, options.presence_penalty) == (("x",), 0.1, 0.2)
    assert request.stream
    assert include_usage


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"n": 3}, "n", 3),
        ({"logprobs": True, "top_logprobs": 5}, "top_logprobs", 5),
        ({"logprobs": True}, "logprobs", True),
        ({"logit_bias": {"5": -100, "6": 1.5}}, "logit_bias", {5: -100.0, 6: 1.5}),
        ({"reasoning_effort": "none"}, "think", False),
        ({"reasoning_effort": "minimal"}, "think", "low"),
        ({"reasoning_effort": "xhigh"}, "think", "max"),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, "think", "high"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", False),
        ({"response_format": {"type": "text"}}, "format", None),
        ({"response_format": {"type": "json_object"}}, "format", Format("json")),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {}}}},
            "format",
            Format("schema", {}),
        ),
        ({"response_format": {"type": "regex", "pattern": "a+"}}, "format", Format("regex", "a+")),
        ({"response_format": {"type": "choice", "choices": ["a", "b"]}}, "format", Format("choice", ("a", "b"))),
        ({"_debug_render_only": True}, "debug_render_only", True),
        ({"max_tokens": 7, "max_completion_tokens": 9}, "options", {"num_predict": 9}),
        ({"stop": ["a", "b"]}, "options", {"stop": ["a", "b"]}),
        ({"modalities": ["text"]}, "options", {}),
    ],
)
def test_fields(fields: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(parse(**fields)[0], name) == value


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("required", "f")),
        ({"type": "function", "name": "f"}, ToolChoice("required", "f")),
    ],
)
def test_choices_of_tools(choice: Any, expected: ToolChoice) -> None:
    request, _ = parse(tools=[TOOL], tool_choice=choice)
    assert (request.tools, request.tool_choice) == ((TOOL,), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tool_choice": "required"}, '"tools" offers none'),
        ({"tools": [TOOL], "tool_choice": "always"}, 'field "tool_choice" must be "none", "auto", "required" or'),
        ({"tools": [TOOL], "tool_choice": 1}, 'field "tool_choice" must be "none", "auto", "required" or'),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            'field "tool_choice.function.name" must be one of "tools", got "g"',
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "custom"}}, 'field "tool_choice.type" must be "function"'),
    ],
)
def test_choices_that_are_none(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(message)):
        parse(**fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a", Message("user", "a")),
        ("", Message("user")),
        ([{"type": "text", "text": "a"}], Message("user", "a")),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], Message("user", "a\n\nb")),
        (
            [{"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}}, {"type": "text", "text": "b"}],
            Message("user", "b", images=(PNG,)),
        ),
        ([{"type": "image_url", "image_url": DATA_URL}], Message("user", images=(PNG,))),
        (
            [{"type": "input_audio", "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"}}],
            Message("user", images=(WAV,)),
        ),
    ],
)
def test_content(content: Any, message: Message) -> None:
    assert parse(messages=[{"role": "user", "content": content}])[0].messages == (message,)


def test_a_dialogue_with_tools() -> None:
    request, _ = parse(
        messages=[
            {"role": "developer", "content": "be brief"},
            {
                "role": "assistant",
                "content": None,
                "reasoning": "hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
                ],
            },
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "42"}]},
            {"role": "tool", "tool_call_id": "c1", "name": "own", "content": "43"},
        ]
    )
    calls = (ToolCall("f", {"a": 1}, "c1", 0), ToolCall("g", {}, "c2", 1))
    assert request.messages == (
        Message("system", "be brief"),
        Message("assistant", "", "hm", tool_calls=calls),
        Message("tool", "42", tool_name="g", tool_call_id="c2"),
        Message("tool", "43", tool_name="own", tool_call_id="c1"),
    )


def call_of(arguments: Any) -> list[Any]:
    return [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}]


def content_of(**part: Any) -> list[Any]:
    return [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": []}, "[] is too short - 'messages'"),
        ({"messages": None, "model": ""}, "[] is too short - 'messages'"),
        ({"model": ""}, "model is required"),
        ({"messages": [{"role": "user", "content": None}]}, "invalid message content type"),
        ({"messages": [{"role": "user", "content": 1.5}]}, "invalid message content type"),
        ({"messages": content_of(type="video")}, "invalid message format"),
        ({"messages": content_of(type="file")}, "file inputs are not supported"),
        (
            {"messages": content_of(type="image_url", image_url="https://x.example/a.png")},
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        ({"messages": content_of(type="image_url", image_url="data:text/plain;base64,aGk=")}, "invalid image input"),
        ({"messages": content_of(type="image_url", image_url="data:image/png,aGk=")}, "invalid image input"),
        ({"messages": content_of(type="image_url", image_url="data:;base64,aGk=")}, "must be base64 of a PNG"),
        ({"messages": content_of(type="input_audio", input_audio={"format": "ogg"})}, "invalid input_audio format"),
        ({"messages": call_of("{")}, "invalid tool call arguments"),
        ({"messages": call_of("[1]")}, "invalid tool call arguments"),
        ({"messages": call_of('{"a":' * 70 + "1" + "}" * 70)}, "invalid tool call arguments"),
        ({"messages": call_of([])}, "must be an object, got an array"),
        ({"max_tokens": "7"}, 'field "max_tokens" must be an integer, got a string'),
        ({"temperature": "hot"}, 'field "temperature" must be a number, got a string'),
        ({"stop": [1]}, 'field "stop" must be an array of strings'),
        ({"stream": "yes"}, 'field "stream" must be a boolean, got a string'),
        ({"n": 0}, 'field "n" must be between 1 and 16, got 0'),
        ({"n": 17}, 'field "n" must be between 1 and 16, got 17'),
        ({"logit_bias": {"a": 1}}, 'field "logit_bias" must have token ids as its keys, got "a"'),
        ({"logit_bias": {"-1": 1}}, 'field "logit_bias" must have token ids as its keys, got "-1"'),
        ({"logit_bias": {"1": "x"}}, 'field "logit_bias.1" must be a number, got a string'),
        ({"logit_bias": {"1": 101}}, 'field "logit_bias.1" must be between -100 and 100, got 101'),
        ({"logit_bias": {str(i): 1 for i in range(1025)}}, "at most 1024"),
        ({"top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ({"reasoning_effort": "huge"}, 'invalid reasoning value: "huge"'),
        ({"modalities": ["text", "audio"]}, 'field "modalities" must be ["text"]'),
        ({"response_format": {"type": "xml"}}, 'field "response_format.type" must be "text", "json_object"'),
        ({"response_format": {"type": "json_schema"}}, 'field "response_format.schema" must be a JSON Schema'),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            'field "response_format.json_schema.schema" must be a JSON Schema',
        ),
        ({"response_format": {"type": "regex"}}, 'field "response_format.pattern" must be a regular expression'),
        ({"response_format": {"type": "choice"}}, 'field "response_format.choices" must be an array of strings'),
    ],
)
def test_wrong_values(fields: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(message)):
        parse(**fields)


def test_fields_that_nobody_reads() -> None:
    body = Body(
        {
            "model": "m",
            "messages": [USER],
            "user": "me",
            "store": False,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "extra": 1}},
            "stream_options": {"include_usage": True, "other": 1},
            "reasoning": {"summary": "auto"},
        }
    )
    openai.chat_request(body)
    ignored = ("user", "store", "reasoning.summary", "response_format.json_schema.extra", "stream_options.other")
    assert sorted(body.ignored()) == sorted(ignored)


# ---- answers -------------------------------------------------------------------------------------------------------

LOGPROB = TokenLogprob("t", -0.5, b"t", (TokenLogprob("u", -1.5, b"u"),))
CALLED = Chunk(tool_calls=(ToolCall("f", {"a": "ü"}, "call_1", 0),))
END = Chunk(done=True, done_reason="stop", stats=STATS)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (413, "api_error"), (500, "api_error")],
)
def test_errors(status: int, kind: str) -> None:
    envelope = {"message": "text", "type": kind, "param": None, "code": None}
    assert openai.error(status, "text") == {"error": envelope}
    assert list(openai.error(status, "text")["error"]) == list(envelope)


def test_the_whole_answer() -> None:
    chunk = Chunk("Hello", done=True, done_reason="length", stats=STATS, truncated=Truncated(1, 2, 3))
    answer = openai.Completion("M").whole([chunk])
    assert list(answer) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage", "truncated"]
    assert re.fullmatch(r"chatcmpl-\d{1,3}", answer["id"])
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "length"}
    ]
    assert answer["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_several_answers_share_one_prompt() -> None:
    answer = openai.Completion("M").whole([Chunk("a", done=True, stats=STATS), Chunk("b", done=True, stats=STATS)])
    assert [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]] == [(0, "a"), (1, "b")]
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (10, 4)


def test_calls_thinking_and_logprobs() -> None:
    chunk = Chunk("x", thinking="hm", tool_calls=CALLED.tool_calls, logprobs=(LOGPROB,), done=True, done_reason="stop")
    [choice] = openai.Completion("M").whole([chunk])["choices"]
    function = {"name": "f", "arguments": '{"a":"ü"}'}
    assert choice["message"] == {
        "role": "assistant",
        "content": "x",
        "reasoning": "hm",
        "tool_calls": [{"id": "call_1", "index": 0, "type": "function", "function": function}],
    }
    assert choice["finish_reason"] == "tool_calls"
    [item] = choice["logprobs"]["content"]
    assert (item["token"], item["logprob"], item["bytes"]) == ("t", -0.5, [116])
    assert item["top_logprobs"] == [{"token": "u", "logprob": -1.5, "bytes": [117]}]


def test_a_call_that_was_cut_is_of_length() -> None:
    [choice] = openai.Completion("M").whole([Chunk(tool_calls=CALLED.tool_calls, done=True, done_reason="length")])[
        "choices"
    ]
    assert choice["finish_reason"] == "length"


def deltas(*chunks: Chunk, include_usage: bool = False) -> list[Any]:
    completion = openai.Completion("M", include_usage)
    pieces = [piece for chunk in chunks for piece in completion.pieces(chunk)]
    pieces += completion.ending([chunk for chunk in chunks if chunk.done])
    assert {piece["object"] for piece in pieces} == {"chat.completion.chunk"}
    assert len({(piece["id"], piece["created"]) for piece in pieces}) == 1
    return [
        (*(c["index"] for c in p["choices"]), *((c["delta"], c["finish_reason"]) for c in p["choices"])) for p in pieces
    ]


def test_a_stream() -> None:
    assert deltas(Chunk(thinking="hm"), Chunk("a"), END, include_usage=True) == [
        (0, ({"role": "assistant", "content": "", "reasoning": "hm"}, None)),
        (0, ({"content": "a"}, None)),
        (0, ({}, "stop")),
        (),
    ]


def test_a_stream_with_a_call() -> None:
    first, second, last = deltas(Chunk("a"), CALLED, END)
    assert (first[1][0], second[1][0]["content"], last[1][1]) == (
        {"role": "assistant", "content": "a"},
        "",
        "tool_calls",
    )
    assert second[1][0]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":"ü"}'}


def test_a_stream_without_any_text() -> None:
    assert deltas(END) == [(0, ({"role": "assistant", "content": ""}, None)), (0, ({}, "stop"))]


def test_a_stream_of_several_answers() -> None:
    other = Chunk("b", index=1)
    told = deltas(Chunk("a"), other, CALLED, END, Chunk(index=1, done=True, done_reason="length", stats=STATS))
    assert [(each[0], each[1][1]) for each in told] == [
        (0, None),
        (1, None),
        (0, None),
        (0, "tool_calls"),
        (1, "length"),
    ]
    assert told[1][1][0]["role"] == "assistant"


def test_a_call_that_is_none_says_why() -> None:
    [piece] = openai.Completion("M").pieces(Chunk("<tool_call>", tool_parse_error="broken"))
    assert piece["choices"][0]["tool_parse_error"] == "broken"


def test_the_rendered_prompt() -> None:
    told = openai.Completion("M").rendered(Chunk(rendered="p", image_count=1))
    assert told["_debug_info"] == {"rendered_template": "p", "image_count": 1}


def test_models() -> None:
    rows = [ModelSummary("m:latest", 5.5, 1, "ab", DETAILS), ModelSummary("ns/m:1", 6.0, 1, "ab", DETAILS)]
    assert openai.models(rows) == {
        "object": "list",
        "data": [
            {"id": "m:latest", "object": "model", "created": 5, "owned_by": "library"},
            {"id": "ns/m:1", "object": "model", "created": 6, "owned_by": "ns"},
        ],
    }
    assert openai.models([]) == {"object": "list", "data": []}
