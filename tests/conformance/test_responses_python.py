"""OpenAI's responses by the `openai` package for Python, its helpers included, and transcriptions, on both doors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest
from conforming import ABLE, ENGINE_ERROR, FIXED
from doors import MODEL, Door

FEW: dict[str, Any] = {"max_output_tokens": 16, "temperature": 0}
QUIET: dict[str, Any] = {"reasoning": {"effort": "none"}}
ADD: dict[str, Any] = {
    "type": "function",
    "name": "add",
    "description": "Add two numbers.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}


class City(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    size: Literal["small", "large"]


@pytest.fixture(scope="module")
def client(door: Door) -> Iterator[Any]:
    with _client(door) as made:
        yield made


def _client(door: Door) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{door.url}/v1", api_key="ollama", default_headers=door.headers, max_retries=0)


def test_a_response(client: Any) -> None:
    answer = client.responses.create(model=MODEL, input="Say hello.", instructions="Be brief.", **FEW)
    assert answer.output_text
    assert (answer.status, answer.model, answer.instructions) in (
        ("completed", MODEL, "Be brief."),
        ("incomplete", MODEL, "Be brief."),
    )
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    dialogue: list[Any] = [
        {"role": "user", "content": "Say hello."},
        *answer.output,
        {"role": "user", "content": "Again."},
    ]
    assert client.responses.create(model=MODEL, input=dialogue, **FEW).output_text


def test_a_response_that_was_cut_is_incomplete(client: Any) -> None:
    answer = client.responses.create(model=MODEL, input="Count to a hundred.", max_output_tokens=4)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_stream(client: Any) -> None:
    held = {"format": {"type": "json_schema", "name": "fixed", "schema": FIXED}}
    whole = client.responses.create(model=MODEL, input="Say hello.", text=held, **FEW)
    told = list(client.responses.create(model=MODEL, input="Say hello.", text=held, stream=True, **FEW))
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert "".join(event.delta for event in told if event.type == "response.output_text.delta") == whole.output_text
    assert told[-1].type == f"response.{whole.status}"


def test_the_helper_for_streams(client: Any) -> None:
    with client.responses.stream(model=MODEL, input="Tell me about Paris.", text_format=City) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert {"response.created", "response.output_text.delta", "response.completed"} <= kinds
    assert isinstance(final.output_parsed, City)


def test_a_schema_is_parsed(client: Any) -> None:
    assert isinstance(client.responses.parse(model=MODEL, input="About Rome.", text_format=City).output_parsed, City)


def test_thinking(client: Any) -> None:
    answer = client.responses.create(model=ABLE, input="Why?", max_output_tokens=30, temperature=0)
    assert answer.output[0].type == "reasoning"
    assert answer.output[0].summary[0].text
    told = client.responses.create(model=ABLE, input="Why?", max_output_tokens=30, temperature=0, stream=True)
    deltas = [event.delta for event in told if event.type == "response.reasoning_summary_text.delta"]
    assert "".join(deltas) == answer.output[0].summary[0].text


@pytest.mark.parametrize("model", [MODEL, ABLE])
def test_a_call_and_its_result(client: Any, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "tools": [ADD], **QUIET}
    question = {"role": "user", "content": "What is 2 plus 6?"}
    answer = client.responses.create(**asked, input=[question], tool_choice="required", parallel_tool_calls=False)
    [call] = answer.output
    assert (call.type, call.name, set(json.loads(call.arguments))) == ("function_call", "add", {"a", "b"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "8"}
    after = client.responses.create(**asked, input=[question, call, result], tool_choice="none", **FEW)
    assert after.output_text


def test_a_call_in_a_stream(client: Any) -> None:
    with client.responses.stream(
        model=ABLE, input="What is 2 plus 6?", tools=[ADD], tool_choice="required", parallel_tool_calls=False, **QUIET
    ) as stream:
        kinds = [event.type for event in stream]
        [call] = stream.get_final_response().output
    assert "response.function_call_arguments.done" in kinds
    assert set(json.loads(call.arguments)) == {"a", "b"}


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
def test_what_would_have_to_be_stored_is_refused(client: Any, field: str) -> None:
    with pytest.raises(openai.BadRequestError, match="not stored"):
        client.responses.create(model=MODEL, input="x", **{field: "resp_1"})


async def test_async(door: Door) -> None:
    made = openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="ollama", default_headers=door.headers)
    async with made as client:
        answer = await client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=8, temperature=0)
        async with client.responses.stream(
            model=MODEL, input="Say hello.", max_output_tokens=8, temperature=0
        ) as stream:
            texts = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert "".join(texts) == answer.output_text


def test_an_engine_that_fails_in_the_middle_says_why(failing: Callable[[int], Door]) -> None:
    with _client(failing(4)) as client:
        stream = client.responses.create(model=MODEL, input="Count.", stream=True)
        with pytest.raises(openai.APIError, match=ENGINE_ERROR):
            list(stream)
        with pytest.raises(openai.InternalServerError, match=ENGINE_ERROR):
            client.responses.create(model=MODEL, input="Count.")


def test_transcriptions_want_a_model_that_listens(client: Any) -> None:
    wav = ("a.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav")
    with pytest.raises(openai.BadRequestError, match=f'"{MODEL}" does not support'):
        client.audio.transcriptions.create(model=MODEL, file=wav)
    with pytest.raises(openai.BadRequestError, match="must be a WAV or MP3 recording"):
        client.audio.transcriptions.create(model=MODEL, file=("a.txt", b"hello"))
