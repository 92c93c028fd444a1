"""The `ollama` package for Python, every method, sync, async and streaming, on both doors.

Embeddings are in test_embeddings.py, transfers against a real registry in test_registries.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from conforming import ABLE, ENGINE_ERROR, FILL, FIXED
from doors import MODEL, Door
from models import write_tiny_gguf

FEW = {"num_predict": 8, "temperature": 0}
SOME = {"num_predict": 60, "temperature": 0}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "millions": {"type": "integer"}},
    "required": ["city", "millions"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def client(door: Door) -> Iterator[ollama.Client]:
    with ollama.Client(host=door.url, headers=door.headers) as made:
        yield made


@pytest.fixture
async def other(door: Door) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=door.url, headers=door.headers) as made:
        yield made


def user(text: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text, **fields}]


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: the first
        b: the second
    """
    return a + b


# ---- chat and generate ---------------------------------------------------------------------------------------------


def test_chat(client: ollama.Client) -> None:
    whole = client.chat(MODEL, user("Name a colour."), options=FEW, format=FIXED)
    assert whole.message.role == "assistant"
    assert (whole.done, whole.eval_count, whole.message.thinking, whole.message.tool_calls) == (True, 8, None, None)
    parts = list(client.chat(MODEL, user("Name a colour."), options=FEW, format=FIXED, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].message.content == ""


async def test_chat_async(other: ollama.AsyncClient) -> None:
    whole = await other.chat(MODEL, user("Name a colour."), options=FEW, format=FIXED)
    parts = [
        part async for part in await other.chat(MODEL, user("Name a colour."), options=FEW, format=FIXED, stream=True)
    ]
    assert "".join(part.message.content or "" for part in parts) == whole.message.content


def test_generate(client: ollama.Client) -> None:
    whole = client.generate(MODEL, "Once upon a time", options=FEW, format=FIXED, raw=True)
    assert (whole.done_reason, whole.eval_count, whole.context) == ("length", 8, None)
    parts = list(client.generate(MODEL, "Once upon a time", options=FEW, format=FIXED, raw=True, stream=True))
    assert "".join(part.response or "" for part in parts) == whole.response


async def test_generate_async(other: ollama.AsyncClient) -> None:
    brief: dict[str, Any] = {"system": "Be brief.", "options": FEW, "format": FIXED}
    whole = await other.generate(MODEL, "Hi", **brief)
    parts = [part async for part in await other.generate(MODEL, "Hi", stream=True, **brief)]
    assert "".join(part.response or "" for part in parts) == whole.response
    assert whole.context


def test_a_prompt_with_a_suffix(client: ollama.Client) -> None:
    filled = client.generate(FILL, "def add(a, b):", suffix="return c", options=FEW)
    assert filled.eval_count
    with pytest.raises(ollama.ResponseError, match=r"^registry.ollama.ai/library/smollm2:135m does not support insert"):
        client.generate(MODEL, "def", suffix="c")


def test_load_and_unload(client: ollama.Client) -> None:
    assert client.generate(MODEL).done_reason == "load"
    assert MODEL in [row.model for row in client.ps().models] or client.ps().models  # another name of its weights
    assert client.chat(MODEL, keep_alive=0).done_reason == "unload"


# ---- thinking ------------------------------------------------------------------------------------------------------


def test_thinking_has_a_field_of_its_own(client: ollama.Client) -> None:
    """The template opens the block, so the answer begins inside it."""
    whole = client.chat(ABLE, user("Why is the sky blue?"), options=SOME)
    assert whole.message.thinking
    assert "<think>" not in whole.message.thinking + (whole.message.content or "")
    parts = list(client.chat(ABLE, user("Why is the sky blue?"), options=SOME, stream=True, think=True))
    assert "".join(part.message.thinking or "" for part in parts)
    generated = client.generate(ABLE, "Why is the sky blue?", options=SOME)
    assert generated.thinking


def test_a_context_with_thinking_is_continued(client: ollama.Client) -> None:
    first = client.generate(ABLE, "My name is Ada.", options=FEW)
    second = client.generate(ABLE, "What is my name?", context=first.context, options=FEW)
    assert second.thinking
    assert second.prompt_eval_count
    assert first.prompt_eval_count
    assert second.prompt_eval_count > first.prompt_eval_count + 8


@pytest.mark.parametrize("level", ["low", "medium", "high", "max"])
def test_levels_of_thinking(client: ollama.Client, level: Any) -> None:
    assert client.chat(ABLE, user("Hi"), options=FEW, think=level).message.thinking


def test_no_thinking(client: ollama.Client) -> None:
    whole = client.chat(ABLE, user("Say hello."), options=FEW, think=False)
    assert whole.message.thinking is None
    assert whole.message.content
    assert client.chat(MODEL, user("Say hello."), options=FEW, think=False).message.content
    with pytest.raises(ollama.ResponseError, match='"smollm2:135m" does not support thinking') as refused:
        client.chat(MODEL, user("Say hello."), think=True)
    assert refused.value.status_code == 400


# ---- format --------------------------------------------------------------------------------------------------------


def test_json(client: ollama.Client) -> None:
    answer = client.chat(MODEL, user("Tell me about Paris in JSON."), format="json", options={"num_predict": 200})
    if answer.done_reason == "stop":
        assert isinstance(json.loads(answer.message.content or ""), dict)
    else:
        assert (answer.message.content or "").lstrip().startswith("{")


@pytest.mark.parametrize("model", [MODEL, ABLE])
def test_a_schema(client: ollama.Client, model: str) -> None:
    """On a thinking model too, once it has thought."""
    text = client.chat(model, user("Tell me about Paris."), format=SCHEMA, options=SOME, think=False).message.content
    assert set(json.loads(text or "")) == {"city", "millions"}
    generated = client.generate(model, "Tell me about Paris.", format=SCHEMA, options=SOME, think=False)
    assert isinstance(json.loads(generated.response or "")["millions"], int)


def test_a_schema_in_a_stream(client: ollama.Client) -> None:
    parts = list(client.chat(MODEL, user("Tell me about Paris."), format=SCHEMA, options=SOME, stream=True))
    assert json.loads("".join(part.message.content or "" for part in parts))["city"]


def test_a_schema_that_nothing_fits(client: ollama.Client) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "nosuch"}}}
    with pytest.raises(ollama.ResponseError, match="type") as refused:
        client.chat(MODEL, user("Hi"), format=schema)
    assert refused.value.status_code == 400


# ---- logprobs ------------------------------------------------------------------------------------------------------


def test_logprobs(client: ollama.Client) -> None:
    answer = client.chat(MODEL, user("Hi"), options=FEW, logprobs=True, top_logprobs=3)
    assert answer.logprobs
    assert len(answer.logprobs) == 8
    assert "".join(item.token for item in answer.logprobs) == answer.message.content
    for item in answer.logprobs:
        assert item.top_logprobs
        assert [other.logprob for other in item.top_logprobs] == sorted(
            (other.logprob for other in item.top_logprobs), reverse=True
        )
        assert item.top_logprobs[0].token == item.token  # it was greedy
        assert item.logprob <= 0
    parts = list(client.generate(MODEL, "Hi", options=FEW, logprobs=True, stream=True))
    assert sum(len(part.logprobs or ()) for part in parts) == 8


def test_too_many_logprobs(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="top_logprobs must be between 0 and 20"):
        client.chat(MODEL, user("Hi"), top_logprobs=21)


# ---- tools ---------------------------------------------------------------------------------------------------------


def called(name: str, **arguments: int) -> list[dict[str, Any]]:
    """A turn that calls a tool, and its result."""
    return [
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]},
        {"role": "tool", "tool_name": name, "content": str(sum(arguments.values()))},
        {"role": "assistant", "content": f"It is {sum(arguments.values())}."},
    ]


CALLING = [
    *user("What is 3 plus 4?"),
    *called("add", a=3, b=4),
    *user("What is 10 plus 22?"),
    *called("add", a=10, b=22),
    *user("What is 5 plus 1?"),
    *called("add", a=5, b=1),
    *user("What is 2 plus 6?"),
]


def test_a_tool_is_called_and_its_result_is_read(client: ollama.Client) -> None:
    """What came before shows the model how: a small one calls nothing by itself."""
    answer = client.chat(ABLE, CALLING, tools=[add], options=SOME, think=False)
    assert answer.message.tool_calls, answer.message
    [call] = answer.message.tool_calls
    assert call.function.name == "add"
    assert set(call.function.arguments) == {"a", "b"}
    assert answer.done_reason == "stop"
    result = str(add(**{name: int(value) for name, value in call.function.arguments.items()}))
    messages: list[Any] = [*CALLING, answer.message, {"role": "tool", "tool_name": "add", "content": result}]
    assert client.chat(ABLE, messages, tools=[add], options=SOME, think=False).message.content


async def test_a_tool_is_called_in_a_stream(other: ollama.AsyncClient) -> None:
    stream = await other.chat(ABLE, CALLING, tools=[add], options=SOME, think=False, stream=True)
    parts = [part async for part in stream]
    calls = [(part.done, call) for part in parts for call in part.message.tool_calls or ()]
    assert [(done, call.function.name) for done, call in calls] == [(False, "add")]
    assert parts[-1].done


def test_tools_that_are_not_needed(client: ollama.Client) -> None:
    answer = client.chat(ABLE, user("Say hello."), tools=[add], options=FEW, think=False)
    assert answer.message.content or answer.message.tool_calls


def test_a_model_without_tools(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as refused:
        client.chat(MODEL, user("Hi"), tools=[add])
    assert refused.value.error == "registry.ollama.ai/library/smollm2:135m does not support tools"
    assert refused.value.status_code == 400


# ---- failures ----------------------------------------------------------------------------------------------------


def test_an_engine_that_fails_in_the_middle_says_why(failing: Callable[[int], Door]) -> None:
    with ollama.Client(host=failing(4).url) as client:
        parts = client.chat(MODEL, user("Count."), stream=True, options={"num_predict": 50})
        assert not next(parts).done
        with pytest.raises(ollama.ResponseError, match=f"^{ENGINE_ERROR}") as failed:
            list(parts)
        assert failed.value.status_code == -1  # that was 200, and what failed came later
        with pytest.raises(ollama.ResponseError, match=ENGINE_ERROR) as failed:
            client.generate(MODEL, "Count.")
        assert failed.value.status_code == 500


# ---- images --------------------------------------------------------------------------------------------------------


def test_a_model_without_a_projector_looks_at_nothing(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support images: it has no projector") as refused:
        client.chat(MODEL, user("What is it?", images=[PNG]))
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="does not support images"):
        client.generate(MODEL, "What is it?", images=[PNG])
    with pytest.raises(ollama.ResponseError, match="must be base64 of a PNG"):
        client.generate(MODEL, "What is it?", images=["aGVsbG8="])


# ---- models --------------------------------------------------------------------------------------------------------


def test_models_are_made_shown_copied_and_deleted(client: ollama.Client, tmp_path: Path) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    digest = client.create_blob(gguf)
    assert digest == "sha256:" + hashlib.sha256(gguf.read_bytes()).hexdigest()
    statuses = [
        part.status for part in client.create("tiny-python", files={"tiny.gguf": digest}, system="s", stream=True)
    ]
    assert statuses[-1] == "success"
    assert client.show("tiny-python").modelinfo
    assert client.copy("tiny-python", "tiny-copy").status == "success"
    names = [model.model for model in client.list().models]
    assert {"tiny-python:latest", "tiny-copy:latest"} <= set(names)
    assert [client.delete(name).status for name in ("tiny-python", "tiny-copy")] == ["success"] * 2
    with pytest.raises(ollama.ResponseError, match="not found") as missing:
        client.show("tiny-python")
    assert missing.value.status_code == 404


async def test_models_are_made_shown_copied_and_deleted_async(other: ollama.AsyncClient, tmp_path: Path) -> None:
    digest = await other.create_blob(write_tiny_gguf(tmp_path / "tiny.gguf"))
    async for part in await other.create("tiny-async", files={"tiny.gguf": digest}, stream=True):
        last = part.status
    assert last == "success"
    assert (await other.copy("tiny-async", "tiny-other")).status == "success"
    assert "tiny-other:latest" in [model.model for model in (await other.list()).models]
    assert (await other.show("tiny-other")).details
    for name in ("tiny-async", "tiny-other"):
        assert (await other.delete(name)).status == "success"
    assert isinstance((await other.ps()).models, list)


def test_abilities_are_shown(client: ollama.Client) -> None:
    assert client.show(ABLE).capabilities == ["completion", "tools", "thinking"]
    assert client.show(FILL).capabilities == ["completion", "insert"]


async def test_transfers_that_fail_say_why(client: ollama.Client, other: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError):
        client.pull("127.0.0.1:9/nobody/nothing", insecure=True)
    with pytest.raises(ollama.ResponseError):
        list(client.pull("127.0.0.1:9/nobody/nothing", insecure=True, stream=True))
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.push("nobody/nothing")
    with pytest.raises(ollama.ResponseError):
        await other.pull("127.0.0.1:9/nobody/nothing", insecure=True)
    with pytest.raises(ollama.ResponseError, match="not found"):
        async for _ in await other.push("nobody/nothing", stream=True):
            pass
