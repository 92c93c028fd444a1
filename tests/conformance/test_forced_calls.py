"""Calls that are forced on a model which knows nothing of tools, at a temperature that makes it babble."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from doors import MODEL, Door, serve

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
    },
    "required": ["city", "unit", "days"],
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells the weather", "parameters": SCHEMA}}
CLIENTS = 8


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server that answers many at once."""
    with serve(tmp_path_factory.mktemp("wide") / "models", OLLAMA_NUM_PARALLEL=str(CLIENTS)) as door:
        yield door


async def ask(door: Door, times: int, **asked: Any) -> list[dict[str, Any]]:
    """The choice of each answer."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Weather in Paris?"}],
        "tools": [TOOL],
        "temperature": 2,
        "top_p": 1,
        "parallel_tool_calls": False,
        **asked,
    }
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=door.url, headers=door.headers, timeout=300, limits=limits) as client:
        posts = [client.post("/v1/chat/completions", json=body | {"seed": seed}) for seed in range(times)]
        return [response.raise_for_status().json()["choices"][0] for response in await asyncio.gather(*posts)]


async def test_two_hundred_forced_calls_fit_their_tool(wide: Door) -> None:
    choices = await ask(wide, 200, tool_choice="required", max_tokens=56)
    assert Counter(choice["finish_reason"] for choice in choices) == {"tool_calls": 200}
    for choice in choices:
        [call] = choice["message"]["tool_calls"]
        assert call["function"]["name"] == "weather"
        jsonschema.validate(json.loads(call["function"]["arguments"]), SCHEMA)
    assert len({choice["message"]["tool_calls"][0]["function"]["arguments"] for choice in choices}) > 50


async def test_where_none_may_be_called_none_is(wide: Door) -> None:
    choices = await ask(wide, 40, tool_choice="none", max_tokens=24)
    assert [choice["message"].get("tool_calls") for choice in choices] == [None] * 40
