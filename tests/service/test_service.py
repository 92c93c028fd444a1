"""The main path over a model that says what it is told: what is refused, rendered, asked of the engine, answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fake_engine import CHAT, FILL, PROJECTOR, THINKING, Fake, model

from ollama_jupyter.errors import BadRequest, EngineError
from ollama_jupyter.messages import ChatRequest, Chunk, GenerateRequest, Message
from ollama_jupyter.store.models import Model

PNG = b"\x89PNG"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
HI = (Message("user", "hi"),)


async def all_of(chunks: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    return [chunk async for chunk in chunks]


async def chat(fake: Fake, messages: tuple[Message, ...] = HI, **fields: Any) -> list[Chunk]:
    return await all_of(fake.service.chat(ChatRequest("m", messages=messages, **fields)))


async def generate(fake: Fake, prompt: str = "hi", **fields: Any) -> list[Chunk]:
    return await all_of(fake.service.generate(GenerateRequest("m", prompt=prompt, **fields)))


async def rendered(fake: Fake, messages: tuple[Message, ...] = HI, **fields: Any) -> str | None:
    [chunk] = await chat(fake, messages, debug_render_only=True, **fields)
    assert fake.manager.leases == 0  # nothing is loaded for it
    return chunk.rendered


# ---- what is refused -----------------------------------------------------------------------------------------------

IMAGE = (Message("user", "what is it?", images=(PNG,)),)
CHAT_REFUSALS: list[tuple[Model, dict[str, Any], str]] = [
    (model(metadata={"llama.pooling_type": 1}), {}, '"m" does not support chat'),
    (model(), {"think": True}, '"m" does not support thinking'),
    (model(), {"think": "low"}, '"m" does not support thinking'),
    (model(), {"tools": (TOOL,)}, "registry.ollama.ai/library/m:latest does not support tools"),
    (model(), {"messages": IMAGE}, '"m" does not support images: it has no projector, which is the part of a model'),
    (model(projectors=(PROJECTOR,)), {"messages": IMAGE}, "this version does not look at images"),
]
GENERATE_REFUSALS: list[tuple[Model, dict[str, Any], str]] = [
    (model(metadata={"llama.pooling_type": 1}), {}, '"m" does not support generate'),
    (model(), {"suffix": "x"}, "registry.ollama.ai/library/m:latest does not support insert"),
    (model(), {"images": (PNG,)}, "does not support images"),
    (model(), {"raw": True, "system": "x"}, "raw mode does not support template, system, or context"),
    (model(), {"raw": True, "template": "x"}, "raw mode does not support template, system, or context"),
    (model(), {"raw": True, "context": (1,)}, "raw mode does not support template, system, or context"),
]


@pytest.mark.parametrize(("stored", "fields", "message"), CHAT_REFUSALS)
async def test_a_chat_that_the_model_cannot_do(stored: Model, fields: dict[str, Any], message: str) -> None:
    fake = Fake(stored)
    with pytest.raises(BadRequest) as refused:
        await chat(fake, **fields)
    assert message in refused.value.message
    assert fake.manager.leases == 0


@pytest.mark.parametrize(("stored", "fields", "message"), GENERATE_REFUSALS)
async def test_a_prompt_that_the_model_cannot_do(stored: Model, fields: dict[str, Any], message: str) -> None:
    fake = Fake(stored)
    with pytest.raises(BadRequest) as refused:
        await generate(fake, **fields)
    assert message in refused.value.message
    assert fake.manager.leases == 0


async def test_an_unload_asks_for_no_ability() -> None:
    fake = Fake(model(metadata={"llama.pooling_type": 1}))

    async def unload(_: Model) -> None:
        pass

    fake.manager.unload = unload  # type: ignore[attr-defined]
    [chunk] = await generate(fake, "", keep_alive=0.0)
    assert (chunk.done, chunk.done_reason) == (True, "unload")


# ---- what is rendered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("think", "expected"),
    [
        (None, "(think medium)"),
        (True, "(think medium)"),
        ("max", "(think max)"),
        ("low", "(think low)"),
        (False, "(do not think)"),
    ],
)
async def test_a_thinking_model_thinks_unless_told_not_to(think: bool | str | None, expected: str) -> None:
    assert await rendered(Fake(model(THINKING)), think=think) == f"{expected}[user]hi[assistant]"


@pytest.mark.parametrize("think", [True, "high", None, False])
async def test_a_model_that_cannot_think_may_be_asked_anyway(think: bool | str | None) -> None:
    assert await rendered(Fake(model()), think=think, think_if_able=True) == "[user]hi[assistant]"


async def test_images_are_counted_where_nothing_is_looked_at() -> None:
    [chunk] = await chat(Fake(model()), IMAGE, debug_render_only=True)
    assert (chunk.rendered, chunk.image_count) == ("[user][img-0]what is it?[assistant]", 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "hi"),
        ({"suffix": "there"}, "<pre>hi<suf>there<mid>"),
        ({"suffix": "there", "raw": True}, "hi"),
        ({"suffix": "there", "template": "{{ .Prompt }}|{{ .Suffix }}"}, "hi|there"),
        ({"template": "<{{ .System }}|{{ .Prompt }}>", "system": "s"}, "<s|hi>"),
        ({"context": (65, 66)}, "ABhi"),
        ({"context": (65, 66), "suffix": "there"}, "AB<pre>hi<suf>there<mid>"),
        ({"context": (65, 66), "template": "[{{ .Prompt }}]"}, "AB[hi]"),
    ],
)
async def test_what_a_prompt_becomes(fields: dict[str, Any], expected: str) -> None:
    fake = Fake(model(FILL))
    chunks = await generate(fake, **fields)
    assert fake.handle.prompt == expected
    assert bool(chunks[-1].context) != bool(fields.get("raw"))
    assert chunks[-1].context[: len(expected)] == (() if fields.get("raw") else tuple(expected.encode()))


# ---- what is answered ----------------------------------------------------------------------------------------------


async def test_text_and_its_end() -> None:
    fake = Fake(model(CHAT, system="s"))
    first, last = await chat(fake, options={"num_predict": 3})
    assert (first.text, last.done, last.done_reason) == ("hello", True, "stop")
    assert fake.handle.prompt == "[system]s[user]hi[assistant]"
    assert fake.handle.asked["options"].num_predict == 3
    assert last.stats is not None
    assert (last.stats.load_duration, last.stats.prompt_eval_count) == (0.25, 28)


async def test_no_messages_load() -> None:
    [chunk] = await chat(Fake(model()), ())
    assert (chunk.done, chunk.done_reason, chunk.stats) == (True, "load", None)


async def test_what_was_cut_is_told_first_and_last() -> None:
    fake = Fake(model())
    fake.handle.says = ["a", "b"]
    chunks = await generate(fake, "x" * 100, options={"num_ctx": 32})
    assert [chunk.truncated is not None for chunk in chunks] == [True, False, True]


async def test_an_engine_that_fails_in_the_middle() -> None:
    fake = Fake(model())
    fake.handle.says = ["a", EngineError("llama_decode: no memory")]
    chunks = fake.service.chat(ChatRequest("m", messages=HI))
    assert (await anext(chunks)).text == "a"
    with pytest.raises(EngineError, match="llama_decode: no memory"):
        await anext(chunks)
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)
