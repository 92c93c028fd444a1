"""The `openai` package for Python: chat, completions, models, its helpers, errors, on both doors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

import httpx
import openai
import pydantic
import pytest
from conforming import ABLE, ENGINE_ERROR, FILL, FIXED
from doors import MODEL, Door
from openai import OpenAI

FEW: dict[str, Any] = {"max_tokens": 8, "temperature": 0}
HI: list[Any] = [{"role": "user", "content": "Say hello."}]
ADD: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
MULTIPLY: Any = {"type": "function", "function": {**ADD["function"], "name": "multiply"}}
QUIET = {"reasoning_effort": "none"}


@pytest.fixture(scope="module")
def client(door: Door) -> Iterator[Any]:
    with _client(door) as made:
        yield made


def _client(door: Door) -> Any:
    return OpenAI(base_url=f"{door.url}/v1", api_key="ollama", default_headers=door.headers, max_retries=0)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


# ---- chat ----------------------------------------------------------------------------------------------------------


def test_chat(client: Any) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HI, **FEW)
    [choice] = answer.choices
    assert (choice.message.role, choice.finish_reason, choice.index) == ("assistant", "length", 0)
    assert choice.message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8
    again = client.chat.completions.create(model=MODEL, messages=HI, **FEW)
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens


def test_chat_in_a_stream(client: Any) -> None:
    held: Any = {"type": "json_schema", "json_schema": {"name": "fixed", "schema": FIXED}}
    asked: dict[str, Any] = {"model": MODEL, "messages": HI, "response_format": held, **FEW}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    stream = client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked)
    *chunks, last = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant"] + [None] * (len(chunks) - 1)
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "length"]
    assert (last.choices, last.usage and last.usage.completion_tokens) == ([], 8)


async def test_chat_async(door: Door) -> None:
    made = openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="ollama", default_headers=door.headers)
    async with made as client:
        answer = await client.chat.completions.create(model=MODEL, messages=HI, **FEW)
        stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True, **FEW)
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(texts) == answer.choices[0].message.content


def test_limits_and_stops(client: Any) -> None:
    limited = client.chat.completions.create(model=MODEL, messages=HI, max_completion_tokens=3, max_tokens=50)
    assert limited.usage is not None
    assert limited.usage.completion_tokens == 3
    text = client.chat.completions.create(model=MODEL, messages=HI, **FEW).choices[0].message.content or ""
    word = text.split()[1]
    stopped = client.chat.completions.create(model=MODEL, messages=HI, stop=[word], **FEW).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (text[: text.index(word)], "stop")


def test_several_answers(client: Any) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HI, n=3, temperature=1.5, seed=7, max_tokens=8)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    stream = client.chat.completions.create(model=MODEL, messages=HI, n=2, max_tokens=4, stream=True)
    chunks = list(stream)
    ends = [chunk.choices[0].index for chunk in chunks if chunk.choices[0].finish_reason]
    assert sorted(ends) == [0, 1]


def test_a_token_that_is_biased(client: Any) -> None:
    """The first token of the answer is forbidden, then forced."""
    plain = client.chat.completions.create(model=MODEL, messages=HI, temperature=0, max_tokens=1)
    first = plain.choices[0].message.content
    tokens = client.completions.create(model=MODEL, prompt="", extra_body={"_debug_render_only": True})
    assert tokens.choices == []  # nothing was written
    forced = client.chat.completions.create(
        model=MODEL, messages=HI, temperature=0, max_tokens=3, logit_bias={"28": 100}
    )
    assert forced.choices[0].message.content != first
    assert len(set(forced.choices[0].message.content or "")) == 1
    with pytest.raises(openai.BadRequestError, match="names token 99999999"):
        client.chat.completions.create(model=MODEL, messages=HI, logit_bias={"99999999": 1})


def test_logprobs(client: Any) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HI, logprobs=True, top_logprobs=2, **FEW)
    found = answer.choices[0].logprobs
    assert found is not None
    assert found.content is not None
    assert "".join(item.token for item in found.content) == answer.choices[0].message.content
    assert all(item.top_logprobs[0].token == item.token for item in found.content)
    stream = client.chat.completions.create(model=MODEL, messages=HI, logprobs=True, stream=True, **FEW)
    items = [item for chunk in stream for lp in [chunk.choices[0].logprobs] if lp for item in lp.content or ()]
    assert [item.token for item in items] == [item.token for item in found.content]


def test_thinking(client: Any) -> None:
    message: Any = client.chat.completions.create(model=ABLE, messages=HI, max_tokens=30).choices[0].message
    assert message.reasoning
    quiet: Any = client.chat.completions.create(model=ABLE, messages=HI, reasoning_effort="none", **FEW)
    assert not hasattr(quiet.choices[0].message, "reasoning")
    with pytest.raises(openai.BadRequestError, match="does not support thinking"):
        client.chat.completions.create(model=MODEL, messages=HI, reasoning_effort="high")


# ---- formats -------------------------------------------------------------------------------------------------------


class City(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    size: Literal["small", "large"]


def test_a_schema_is_parsed(client: Any) -> None:
    parsed = client.chat.completions.parse(model=MODEL, messages=user("Tell me about Paris."), response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)


def test_a_schema_in_a_stream(client: Any) -> None:
    with client.chat.completions.stream(model=MODEL, messages=user("About Rome."), response_format=City) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert isinstance(final.choices[0].message.parsed, City)


def test_json_regex_and_choice(client: Any) -> None:
    def say(form: Any) -> str:
        made = client.chat.completions.create(model=MODEL, messages=HI, response_format=form, max_tokens=200)
        return made.choices[0].message.content or ""

    assert say({"type": "json_object"}).lstrip().startswith("{")
    assert say({"type": "choice", "choices": ["left", "right"]}) in ("left", "right")
    assert say({"type": "regex", "pattern": "[0-9]{3}-[0-9]{2}"})[3] == "-"
    with pytest.raises(openai.BadRequestError, match="nosuch"):
        say({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nosuch"}}})


# ---- tools ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [MODEL, ABLE])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "multiply"}}])
def test_a_call_that_must_be_made(client: Any, model: str, choice: Any) -> None:
    """On a model whose template knows tools, and on one whose does not."""
    answer = client.chat.completions.create(
        model=model,
        messages=user("What is 2 plus 6?"),
        tools=[ADD, MULTIPLY],
        tool_choice=choice,
        max_tokens=200,
        **QUIET,
    )
    [choice_made] = answer.choices
    assert (choice_made.finish_reason, choice_made.message.content) == ("tool_calls", "")
    calls: Any = choice_made.message.tool_calls
    names = {call.function.name for call in calls}
    assert names == {"multiply"} if isinstance(choice, dict) else names <= {"add", "multiply"}
    for call in calls:
        assert {type(value) for value in json.loads(call.function.arguments).values()} == {int}


def test_one_call_at_a_time(client: Any) -> None:
    answer = client.chat.completions.create(
        model=ABLE, messages=HI, tools=[ADD], tool_choice="required", parallel_tool_calls=False, temperature=2, **QUIET
    )
    assert len(answer.choices[0].message.tool_calls or ()) == 1


def test_a_call_in_a_stream(client: Any) -> None:
    with client.chat.completions.stream(
        model=ABLE,
        messages=user("What is 2 plus 6?"),
        tools=[{**ADD, "function": {**ADD["function"], "strict": True}}],
        tool_choice="required",
        parallel_tool_calls=False,
        **QUIET,
    ) as stream:
        kinds = [event.type for event in stream]
        final: Any = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    [call] = final.choices[0].message.tool_calls
    assert set(call.function.parsed_arguments) == {"a", "b"}


def test_no_call(client: Any) -> None:
    answer = client.chat.completions.create(
        model=ABLE, messages=user("What is 2 plus 6?"), tools=[ADD], tool_choice="none", **FEW, **QUIET
    )
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].message.content


def test_a_call_that_does_not_fit_is_an_error(client: Any) -> None:
    asked: Any = {"model": ABLE, "messages": HI, "tools": [ADD], "tool_choice": "required", "max_tokens": 2, **QUIET}
    with pytest.raises(openai.BadRequestError, match="tool call was not finished within 2 tokens"):
        client.chat.completions.create(**asked)
    with pytest.raises(openai.APIError, match="tool call was not finished within 2 tokens"):
        list(client.chat.completions.create(**asked, stream=True))


def test_a_result_is_read(client: Any) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 6}'}}
    messages: list[Any] = [
        *user("What is 2 plus 6?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "8"},
    ]
    answer = client.chat.completions.create(model=ABLE, messages=messages, tools=[ADD], **FEW, **QUIET)
    assert answer.choices[0].message.content or answer.choices[0].message.tool_calls


def test_a_model_without_tools(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support tools"):
        client.chat.completions.create(model=MODEL, messages=HI, tools=[ADD])


# ---- completions and models ----------------------------------------------------------------------------------------


def test_completions(client: Any) -> None:
    answer = client.completions.create(model=MODEL, prompt="Once", echo=True, logprobs=1, **FEW)
    [choice] = answer.choices
    assert choice.text.startswith("Once")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert "Once" + "".join(choice.logprobs.tokens) == choice.text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    stream = client.completions.create(
        model=MODEL, prompt="Once", stream=True, stream_options={"include_usage": True}, **FEW
    )
    *chunks, last = list(stream)
    assert "Once" + "".join(chunk.choices[0].text for chunk in chunks) == choice.text
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.usage is not None
    assert last.usage.completion_tokens == 8


def test_completions_that_fill_in_or_are_several(client: Any) -> None:
    filled = client.completions.create(model=FILL, prompt="def f(x):", suffix="return y", **FEW)
    assert filled.choices[0].finish_reason
    several = client.completions.create(model=MODEL, prompt="Once", n=2, max_tokens=3)
    assert [choice.index for choice in several.choices] == [0, 1]


def test_models(client: Any, door: Door) -> None:
    assert f"{ABLE}:latest" in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by == "library"
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.models.retrieve("nosuch")
    with httpx.Client(base_url=door.url, headers=door.headers, timeout=60) as http:
        http.post("/api/copy", json={"source": MODEL, "destination": "ns/copy:1"}).raise_for_status()
        assert (client.models.retrieve("ns/copy:1").id, client.models.retrieve("ns/copy:1").owned_by) == (
            "ns/copy:1",
            "ns",
        )
        assert http.get("/v1/models/ns/copy:1").json() == http.get("/v1/models/ns%2Fcopy%3A1").json()
        http.request("DELETE", "/api/delete", json={"model": "ns/copy:1"}).raise_for_status()


# ---- what is told besides, and errors --------------------------------------------------------------------------------


def test_headers(client: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HI, user="me", store=True, max_tokens=1, extra_body={"stream_options": {"x": 1}}
    )
    assert raw.headers["x-ignored-fields"] == "store, user, stream_options.x"
    long = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=user("word " * 5000), max_tokens=1, stream=True
    )
    assert int(long.headers["x-truncated-tokens"]) > 500
    last = list(long.parse())[-1]
    assert last.model_extra
    assert last.model_extra["truncated"]["tokens"] == int(long.headers["x-truncated-tokens"])


def test_wrong_requests_have_their_own_errors(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nosuch' not found") as missing:
        client.chat.completions.create(model="nosuch", messages=HI)
    assert missing.value.type == "not_found_error"
    with pytest.raises(openai.BadRequestError, match="too short") as short:
        client.chat.completions.create(model=MODEL, messages=[])
    assert short.value.type == "invalid_request_error"
    part: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAA="}}
    with pytest.raises(openai.BadRequestError, match="does not support images"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [part]}])


def test_an_engine_that_fails_in_the_middle_says_why(failing: Callable[[int], Door]) -> None:
    with _client(failing(4)) as client:
        stream = client.chat.completions.create(model=MODEL, messages=HI, stream=True, max_tokens=50)
        assert next(iter(stream)).choices
        with pytest.raises(openai.APIError, match=ENGINE_ERROR):
            list(stream)
        with pytest.raises(openai.InternalServerError, match=ENGINE_ERROR):
            client.completions.create(model=MODEL, prompt="Count.")
