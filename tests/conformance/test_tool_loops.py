"""Tools on a small model: what must be called is called, what must not is not, and prose is not held up by them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from conforming import ABLE
from doors import MODEL, Door

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "near": {"type": "array", "items": {"type": "integer", "minimum": -180, "maximum": 180}, "maxItems": 2},
        "options": {"type": "object", "properties": {"wind": {"type": "boolean"}}, "required": ["wind"]},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather of a city.", "parameters": PARAMETERS},
}
ASKED = [{"role": "user", "content": "What will the weather be in Paris?"}]


@pytest.fixture(scope="module")
def http(served: Door) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, headers=served.headers, timeout=280) as made:
        yield made


def ask(http: httpx.Client, model: str, **fields: Any) -> list[dict[str, Any]]:
    """The messages of the answers."""
    body = {"model": model, "messages": ASKED, "tools": [TOOL], "temperature": 2, "reasoning_effort": "none"} | fields
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return [choice["message"] for choice in answer.json()["choices"]]


@pytest.mark.parametrize("model", [MODEL, ABLE])
def test_two_hundred_forced_calls(http: httpx.Client, model: str) -> None:
    """A hundred on each: on a model whose template has no words for tools, and on one that has."""
    one_call: dict[str, Any] = {"tool_choice": "required", "parallel_tool_calls": False, "n": 10, "max_tokens": 200}
    made = [message for seed in range(10) for message in ask(http, model, seed=seed, **one_call)]
    calls = [call["function"] for message in made for call in message["tool_calls"]]
    assert len(made) == 100
    assert all(message["tool_calls"] for message in made)
    assert {call["name"] for call in calls} == {"weather"}
    for call in calls:
        jsonschema.validate(json.loads(call["arguments"]), PARAMETERS)


@pytest.mark.parametrize("model", [MODEL, ABLE])
def test_no_call_where_none_is_wanted(http: httpx.Client, model: str) -> None:
    made = [
        message for seed in range(2) for message in ask(http, model, tool_choice="none", n=16, seed=seed, max_tokens=24)
    ]
    assert len(made) == 32
    assert not any("tool_calls" in message for message in made)


def test_prose_is_not_held_up(http: httpx.Client) -> None:
    """With tools offered, the first text leaves with one of the first two tokens after the one that it began with."""
    body = {"model": ABLE, "messages": [{"role": "user", "content": "Write a poem."}], "tools": [TOOL], "think": False}
    body |= {"logprobs": True, "options": {"temperature": 0, "num_predict": 12}}
    tokens = 0
    with http.stream("POST", "/api/chat", json=body) as lines:
        for line in map(json.loads, lines.iter_lines()):
            tokens += len(line.get("logprobs", ()))
            if line["message"]["content"]:
                break
    assert 0 < tokens <= 3
