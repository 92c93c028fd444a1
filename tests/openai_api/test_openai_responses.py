"""OpenAI's responses: items to a conversation, chunks to items and events."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from fakes import STATS

from ollama_jupyter.api import openai
from ollama_jupyter.api.fields import Body
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Chunk, Format, Message, TokenLogprob, ToolCall, ToolChoice, Truncated

PNG = b"\x89PNG\r\n\x1a\n" + bytes(3)
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True}
NESTED = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
END = Chunk(done=True, done_reason="stop", stats=STATS)
CALL = ToolCall("f", {"a": "ü"}, "call_1", 0)


def parse(**fields: Any) -> Any:
    return openai.response_request({"model": "m", "input": "hi"} | fields).request


# ---- requests ------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    request = parse()
    assert (request.messages, request.stream, request.options, request.truncate) == (
        (Message("user", "hi"),),
        False,
        {},
        True,
    )


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"instructions": "be brief"}, "messages", (Message("system", "be brief"), Message("user", "hi"))),
        ({"input": ""}, "messages", ()),
        ({"input": None}, "messages", ()),
        (
            {"max_output_tokens": 5, "temperature": 0, "top_p": 1},
            "options",
            {"num_predict": 5, "temperature": 0, "top_p": 1},
        ),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, "think", "high"),
        ({"text": {"format": {"type": "text"}}}, "format", None),
        ({"text": {"format": {"type": "json_object"}}}, "format", Format("json")),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object"}}}},
            "format",
            Format("schema", {"type": "object"}),
        ),
        ({"tools": [TOOL]}, "tools", (NESTED,)),
        ({"tools": [NESTED]}, "tools", (NESTED,)),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
            "tool_choice",
            ToolChoice("required", "f"),
        ),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", False),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, "logprobs", True),
        ({"include": ["reasoning.encrypted_content"]}, "logprobs", False),
        ({"truncation": "disabled"}, "truncate", False),
        ({"truncation": "auto"}, "truncate", True),
        ({"background": False, "previous_response_id": None, "conversation": None}, "model", "m"),
    ],
)
def test_fields(fields: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(parse(**fields), name) == value


def test_a_namespace_of_tools() -> None:
    space = {"type": "namespace", "name": "ns", "tools": [TOOL]}
    assert [tool["function"]["name"] for tool in parse(tools=[space]).tools] == ["ns.f"]


def test_tools_that_only_openai_could_run_are_ignored_and_told() -> None:
    body = Body({"model": "m", "input": "hi", "tools": [{"type": "web_search"}, TOOL], "store": True})
    assert len(openai.response_request(body).request.tools) == 1
    assert set(body.ignored()) == {"tools.web_search", "store"}


def test_a_dialogue() -> None:
    items = [
        {"role": "developer", "content": "be brief"},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": DATA_URL}],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "short"}],
            "encrypted_content": "long",
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "only this"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "c"}],
        },
        {"type": "function_call", "call_id": "c3", "name": "f", "arguments": "{}"},
    ]
    assert parse(input=items).messages == (
        Message("system", "be brief"),
        Message("user", "a", images=(PNG,)),
        Message("assistant", "", "long", tool_calls=(ToolCall("f", {"a": 1}, "c1", 0), ToolCall("g", {}, "c2", 1))),
        Message("tool", "1", tool_name="f", tool_call_id="c1"),
        Message("tool", "2", tool_name="g", tool_call_id="c2"),
        Message("assistant", "b\n\nc", "only this", tool_calls=(ToolCall("f", {}, "c3", 0),)),
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "model is required"),
        ({"input": 1}, "input must be a string or array: got a number"),
        ({"input": [{"type": "foo"}]}, 'input[0]: unknown input item type: "foo"'),
        ({"input": [{"content": "x"}]}, "input[0]: input item missing required 'type' field"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]: items are not stored"),
        (
            {"input": [{"role": "user", "content": [{"type": "video"}]}]},
            "input[0].content[0]: unknown content type: video",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0]: file inputs are not currently supported",
        ),
        ({"input": [{"type": "function_call", "arguments": "x"}]}, "invalid tool call arguments"),
        ({"previous_response_id": "resp_1"}, 'field "previous_response_id" is not supported: responses are not stored'),
        ({"conversation": "c"}, 'field "conversation" is not supported: conversations are not stored'),
        ({"background": True}, 'field "background" is not supported'),
        ({"prompt": {"id": "p"}}, 'field "prompt" is not supported'),
        ({"tools": [{"type": "function"}]}, 'field "tools[0].name" must name the function'),
        ({"tool_choice": "required"}, '"tools" offers none'),
        ({"text": {"format": {"type": "xml"}}}, 'field "text.format.type" must be'),
        ({"text": {"format": {"type": "json_schema"}}}, 'field "text.format.schema" must be a JSON Schema'),
    ],
)
def test_wrong_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(message)):
        parse(**fields)


# ---- answers -------------------------------------------------------------------------------------------------------


def response(**fields: Any) -> openai.Response:
    return openai.Response(openai.response_request({"model": "M", "input": "hi"} | fields))


ORDER = [
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "max_output_tokens",
    "usage",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
]


def test_the_whole_answer() -> None:
    chunk = Chunk("Hello", thinking="hm", tool_calls=(CALL,), done=True, done_reason="stop", stats=STATS)
    answer = response(tools=[TOOL], metadata={"a": "b"}, temperature=0.5).whole([chunk])
    assert list(answer) == ORDER
    assert (answer["status"], answer["model"], answer["tools"], answer["metadata"]) == (
        "completed",
        "M",
        [TOOL],
        {"a": "b"},
    )
    thinking, text, call = answer["output"]
    assert (thinking["type"], thinking["summary"]) == ("reasoning", [{"type": "summary_text", "text": "hm"}])
    assert (text["type"], text["role"], text["status"]) == ("message", "assistant", "completed")
    assert text["content"] == [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    assert (call["type"], call["call_id"], call["name"], call["arguments"]) == (
        "function_call",
        "call_1",
        "f",
        '{"a":"ü"}',
    )
    assert [item["id"].split("_")[0] for item in answer["output"]] == ["rs", "msg", "fc"]
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (10, 2)


def test_an_answer_that_was_cut_is_incomplete() -> None:
    answer = response().whole([Chunk("a", done=True, done_reason="length", stats=STATS, truncated=Truncated(1, 2, 3))])
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (answer["completed_at"], answer["truncated"]["tokens"]) == (None, 2)


def test_an_answer_of_nothing_has_an_empty_text() -> None:
    [item] = response().whole([Chunk(done=True, done_reason="load")])["output"]
    assert item["content"][0]["text"] == ""


def events(*chunks: Chunk, **fields: Any) -> list[Any]:
    under_way = response(**fields)
    told = [event for chunk in chunks for event in under_way.pieces(chunk)]
    told += under_way.ending([chunks[-1]])
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    return told


TEXT = """response.output_item.added response.content_part.added {deltas} response.output_text.done
response.content_part.done response.output_item.done"""
REASONING = """response.output_item.added response.reasoning_summary_part.added response.reasoning_summary_text.delta
response.reasoning_summary_text.done response.reasoning_summary_part.done response.output_item.done"""
CALLED = """response.output_item.added response.function_call_arguments.delta response.function_call_arguments.done
response.output_item.done"""
BEGIN = "response.created response.in_progress"


def test_a_stream() -> None:
    told = events(Chunk(thinking="hm"), Chunk("a"), Chunk("b"), Chunk(tool_calls=(CALL, CALL)), Chunk("c"), END)
    text = TEXT.format(deltas="response.output_text.delta response.output_text.delta")
    last = TEXT.format(deltas="response.output_text.delta")
    expected = f"{BEGIN} {REASONING} {text} {CALLED} {CALLED} {last} response.completed".split()
    assert [event["type"] for event in told] == expected
    whole = told[-1]["response"]
    assert [item["type"] for item in whole["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "message",
    ]
    assert whole["output"][1]["content"][0]["text"] == "ab"
    done = [event for event in told if event["type"] == "response.output_item.done"]
    assert [event["item"] for event in done] == whole["output"]
    assert [event["output_index"] for event in done] == [0, 1, 2, 3, 4]
    assert told[0]["response"]["status"] == "in_progress"


def test_a_stream_of_nothing() -> None:
    text = TEXT.format(deltas="response.output_text.delta")
    assert [event["type"] for event in events(END)] == f"{BEGIN} {text} response.completed".split()


def test_a_stream_that_was_cut() -> None:
    last = events(Chunk("a"), Chunk(done=True, done_reason="length", stats=STATS))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")


def test_logprobs_in_a_stream() -> None:
    item = TokenLogprob("a", -0.5, b"a")
    told = events(Chunk("a", logprobs=(item,)), END)
    [delta] = [event for event in told if event["type"] == "response.output_text.delta"]
    assert delta["logprobs"] == [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    assert told[-1]["response"]["output"][0]["content"][0]["logprobs"] == delta["logprobs"]


def test_a_stream_that_fails() -> None:
    under_way = response()
    count = len(list(under_way.pieces(Chunk("a"))))
    failed = under_way.failed("the engine is gone")
    assert (failed["type"], failed["sequence_number"], failed["error"]["message"]) == (
        "response.failed",
        count,
        "the engine is gone",
    )
    assert (failed["response"]["status"], failed["response"]["error"]["message"]) == ("failed", "the engine is gone")


# ---- transcriptions ------------------------------------------------------------------------------------------------

WAV = b"RIFF1234WAVEfmt "


def test_transcriptions() -> None:
    asked = openai.transcription_request({"model": "m", "language": "de", "response_format": "text"}, WAV)
    [turn] = asked.request.messages
    assert (turn.images, asked.plain, asked.request.options) == ((WAV,), True, {"temperature": 0})
    assert "de" in turn.content
    assert not openai.transcription_request({"model": "m"}, WAV).plain


@pytest.mark.parametrize(
    ("form", "recording", "message"),
    [
        ({}, WAV, "model is required"),
        ({"model": "m"}, None, "file is required"),
        ({"model": "m"}, b"", "audio file is empty"),
        ({"model": "m"}, PNG, 'field "file" must be a WAV or MP3 recording'),
    ],
)
def test_transcriptions_of_nothing(form: dict[str, str], recording: bytes | None, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        openai.transcription_request(form, recording)
