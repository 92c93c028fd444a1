"""The `anthropic` package for Python: messages, streams, tools, counts, errors, on both doors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from conforming import ABLE, ENGINE_ERROR
from doors import MODEL, Door

HI: list[Any] = [{"role": "user", "content": "Say hello."}]
GREEDY: Any = {"temperature": 0}
"""The package has no name for it any more; the API does."""
FEW: dict[str, Any] = {"model": MODEL, "max_tokens": 8, "messages": HI, "extra_body": GREEDY}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def client(door: Door) -> Iterator[Anthropic]:
    with _client(door) as made:
        yield made


def _client(door: Door) -> Anthropic:
    return Anthropic(base_url=door.url, api_key="ollama", default_headers=door.headers, max_retries=0)


def test_a_message(client: Anthropic) -> None:
    answer = client.messages.create(**FEW)
    assert (answer.role, answer.model, answer.stop_reason, answer.stop_sequence) == (
        "assistant", MODEL, "max_tokens", None,
    )  # fmt: skip
    [block] = answer.content
    assert block.type == "text"
    assert block.text
    assert answer.usage.output_tokens == 8
    again = client.messages.create(**FEW)
    assert again.usage.cache_read_input_tokens
    assert again.usage.input_tokens + again.usage.cache_read_input_tokens == (
        answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)
    )


async def test_a_message_async(door: Door) -> None:
    made = anthropic.AsyncAnthropic(base_url=door.url, api_key="ollama", default_headers=door.headers)
    async with made as client:
        answer = await client.messages.create(**FEW)
    assert answer.usage.output_tokens == 8


def test_a_stream(client: Anthropic) -> None:
    with client.messages.stream(**FEW) as stream:
        told = list(stream)
        final = stream.get_final_message()
    [block] = final.content
    assert block.type == "text"
    assert "".join(event.text for event in told if event.type == "text") == block.text != ""
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 8)
    kinds = [event.type for event in told]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    with client.messages.stream(**FEW) as stream:
        assert "".join(stream.text_stream)


def test_a_system_prompt_and_a_stop_sequence(client: Anthropic) -> None:
    answer = client.messages.create(
        model=MODEL, max_tokens=64, stop_sequences=["o"], extra_body=GREEDY, messages=HI,
        system=[{"type": "text", "text": "You say hello, "}, {"type": "text", "text": "and nothing else."}],
    )  # fmt: skip
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "o")


def test_tools_round_trip(client: Anthropic) -> None:
    asked: list[Any] = [{"role": "user", "content": "How is the weather in Paris?"}]
    answer = client.messages.create(
        model=ABLE, max_tokens=128, messages=asked, tools=[WEATHER], thinking={"type": "disabled"},
        tool_choice={"type": "tool", "name": "get_weather"},
    )  # fmt: skip
    assert answer.stop_reason == "tool_use"
    [use] = answer.content
    assert use.type == "tool_use"
    assert use.name == "get_weather"
    assert isinstance(use.input, dict)
    assert isinstance(use.input["city"], str)
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "Rain, 12 degrees."}]}
    told = [*asked, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    after = client.messages.create(
        model=ABLE, max_tokens=8, messages=told, tools=[WEATHER], tool_choice={"type": "none"}
    )
    assert after.stop_reason in ("max_tokens", "end_turn")


def test_a_streamed_call(client: Anthropic) -> None:
    with client.messages.stream(
        model=ABLE, max_tokens=128, messages=HI, tools=[WEATHER], thinking={"type": "disabled"},
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    ) as stream:  # fmt: skip
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    [use] = final.content
    assert use.type == "tool_use"
    assert isinstance(use.input, dict)
    assert list(use.input) == ["city"]


def test_a_model_that_cannot_think_is_asked_all_the_same(client: Anthropic) -> None:
    answer = client.messages.create(**FEW, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in answer.content] == ["text"]


def test_counting_tokens(client: Anthropic) -> None:
    short = client.messages.count_tokens(model=MODEL, messages=HI).input_tokens
    assert short == _prompt_tokens(client.messages.create(**FEW))
    longer = client.messages.count_tokens(model=MODEL, messages=HI, system="You are brief, and you like cats.")
    assert longer.input_tokens != short


def _prompt_tokens(answer: Any) -> int:
    return int(answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0))


def test_errors_are_the_packages_own(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model 'nope' not found"):
        client.messages.create(**FEW | {"model": "nope"})
    with pytest.raises(anthropic.BadRequestError, match="max_tokens is required and must be positive"):
        client.messages.create(**FEW | {"max_tokens": 0})
    with pytest.raises(anthropic.BadRequestError, match="does not support tools"):
        client.messages.create(**FEW, tools=[WEATHER])
    with pytest.raises(anthropic.BadRequestError, match="Only base64 images are supported"):
        client.messages.create(**FEW | {"messages": _with({"type": "url", "url": "http://localhost/a.png"})})
    with pytest.raises(anthropic.BadRequestError, match="image"):
        client.messages.create(
            **FEW | {"messages": _with({"type": "base64", "media_type": "image/png", "data": PIXEL})}
        )


def _with(source: dict[str, str]) -> list[Any]:
    return [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]}]


def test_an_engine_that_fails_in_the_middle_is_an_error_with_its_text(failing: Callable[[int], Door]) -> None:
    with (
        _client(failing(4)) as client,
        client.messages.stream(**FEW | {"max_tokens": 64}) as stream,
        pytest.raises(anthropic.APIStatusError, match=ENGINE_ERROR),
    ):
        stream.until_done()
