"""OpenAI's chat completions and model list: tables of shapes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from fakes import DETAILS, STATS

from ollama_jupyter.api import openai
from ollama_jupyter.errors import BadRequest, NotSupportedYet
from ollama_jupyter.messages import Chunk, Message, ModelSummary, Options, Truncated

USER = {"role": "user", "content": "hi"}


def parse(**fields: Any) -> Any:
    return openai.chat_request({"model": "m", "messages": [USER]} | fields)


def test_defaults() -> None:
    request, include_usage = parse()
    assert (request.model, request.messages, request.stream) == ("m", (Message("user", "hi"),), False)
    assert request.options == {"temperature": 1.0, "top_p": 1.0}
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


def test_max_completion_tokens_wins() -> None:
    assert parse(max_tokens=7, max_completion_tokens=9)[0].options["num_predict"] == 9


def test_stop_lists() -> None:
    assert parse(stop=["a", "b"])[0].options["stop"] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        ("", ""),
        ([{"type": "text", "text": "a"}], "a"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\n\nb"),
    ],
)
def test_content(content: Any, text: str) -> None:
    assert parse(messages=[{"role": "user", "content": content}])[0].messages == (Message("user", text),)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"reasoning": {"effort": "low"}}, "reasoning_effort"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].image_url",
        ),
    ],
)
def test_what_comes_later_is_refused_by_name(fields: Any, name: str) -> None:
    with pytest.raises(NotSupportedYet) as refused:
        parse(**fields)
    assert refused.value.field == name


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"response_format": {"type": "text"}},
        {"n": 1},
        {"logprobs": False},
        {"modalities": ["text"]},
        {"reasoning_effort": "none"},
        {"user": "me", "store": False, "metadata": {}, "service_tier": "auto", "parallel_tool_calls": True},
    ],
)
def test_harmless_fields_change_nothing(fields: Any) -> None:
    request, include_usage = parse(**fields)
    assert request.think in (None, False)  # an effort of none is a wish, and the only one that is passed on
    assert (replace(request, think=None), include_usage) == parse()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": []}, "[] is too short - 'messages'"),
        ({"messages": None, "model": ""}, "[] is too short - 'messages'"),
        ({"model": ""}, "model is required"),
        ({"messages": [{"role": "user", "content": None}]}, "invalid message content type"),
        ({"messages": [{"role": "user", "content": 1.5}]}, "invalid message content type"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "invalid message format"),
        ({"max_tokens": "7"}, 'field "max_tokens" must be an integer, got a string'),
        ({"temperature": "hot"}, 'field "temperature" must be a number, got a string'),
        ({"stop": [1]}, 'field "stop" must be an array of strings'),
        ({"stream": "yes"}, 'field "stream" must be a boolean, got a string'),
    ],
)
def test_wrong_values(fields: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(message)):
        parse(**fields)


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
    answer = openai.Completion("M").whole(chunk)
    assert list(answer) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage", "truncated"]
    assert re.fullmatch(r"chatcmpl-\d{1,3}", answer["id"])
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "length"}
    ]
    assert answer["usage"] == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


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
