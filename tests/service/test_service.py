"""The main path over a model that says what it is told: what is refused, rendered, asked of the engine, answered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from fake_engine import CHAT, FILL, PROJECTOR, THINKING, TOOLS, Fake, model

from ollama_jupyter import grammar
from ollama_jupyter.engine import constrain
from ollama_jupyter.errors import BadRequest, CallUnfinished, EngineError, Forbidden, ModelNotFound
from ollama_jupyter.grammar import describe_tools
from ollama_jupyter.messages import ChatRequest, Chunk, Format, GenerateRequest, Message, ToolChoice
from ollama_jupyter.prompt.output import JSON_CALLS, PLAIN, CallSyntax, Output
from ollama_jupyter.prompt.select import Renderer
from ollama_jupyter.service import ability, pool
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


@pytest.mark.parametrize("name", ["big:cloud", "big:120b-cloud", "Big:Cloud"])
async def test_models_of_a_cloud_are_elsewhere(name: str) -> None:
    fake = Fake(model())

    async def resolve(_: str) -> Model:
        raise ModelNotFound(name)

    fake.service._resolve = resolve
    with pytest.raises(Forbidden, match=r"^ollama cloud is disabled: remote model is unavailable$"):
        await all_of(fake.service.chat(ChatRequest(name, messages=HI)))
    with pytest.raises(ModelNotFound):
        await all_of(fake.service.chat(ChatRequest("big", messages=HI)))


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


async def test_harmony_knows_no_max() -> None:
    harmony = model(THINKING + "<|start|><|end|>", config={"model_family": "gptoss"})
    expected = await rendered(Fake(harmony), think="high")
    assert await rendered(Fake(harmony), think="max") == expected


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


# ---- tools and formats ---------------------------------------------------------------------------------------------

REQUIRED = ToolChoice("required")
TOLD = describe_tools((TOOL,))


@pytest.mark.parametrize(
    ("stored", "choice", "expected"),
    [
        (model(TOOLS), ToolChoice(), '(tools [{"type":"function"'),
        (model(TOOLS), REQUIRED, '(tools [{"type":"function"'),
        (model(TOOLS), ToolChoice("none"), "[user]hi[assistant]"),
        (model(), ToolChoice("none"), "[user]hi[assistant]"),
        (model(), REQUIRED, f"[system]{TOLD}[user]hi[assistant]"),
        (model(system="s"), REQUIRED, f"[system]s\n\n{TOLD}[user]hi[assistant]"),
    ],
)
async def test_how_a_model_is_told_of_tools(stored: Model, choice: ToolChoice, expected: str) -> None:
    prompt = await rendered(Fake(stored), tools=(TOOL,), tool_choice=choice)
    assert (prompt or "").startswith(expected)


async def test_a_template_without_a_system_turn_is_told_of_tools_in_the_first_question() -> None:
    template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    )
    stored = model(None, metadata={"tokenizer.chat_template": template})
    assert await rendered(Fake(stored), tools=(TOOL,), tool_choice=REQUIRED) == f"[user]{TOLD}\n\nhi"


async def test_what_is_asked_of_the_engine() -> None:
    fake = Fake(model())
    fake.handle.says = ["a"]
    chunks = await chat(fake, n=2, logprobs=True, top_logprobs=3, logit_bias={65: -100.0})
    asked = fake.handle.asked
    assert (asked["n"], asked["logprobs"], asked["logit_bias"]) == (2, 3, {65: -100.0})
    assert (asked["constraint"], asked["spelled"]) == (None, frozenset())
    assert [(chunk.index, chunk.text, chunk.done) for chunk in chunks] == [
        (0, "a", False),
        (1, "a", False),
        (0, "", True),
        (1, "", True),
    ]
    await chat(fake, top_logprobs=3)
    assert fake.handle.asked["logprobs"] is None


@pytest.mark.parametrize(("controls", "spelled"), [(["<t>"], {256}), (["<t>", "</t>"], {256, 257}), ([], set())])
async def test_control_tokens_that_the_parser_must_see(
    monkeypatch: pytest.MonkeyPatch, controls: list[str], spelled: set[int]
) -> None:
    output = replace(PLAIN, tags=("<t>", "</t>"))
    monkeypatch.setattr(ability, "choose", lambda **_: Renderer("go", CHAT, output=output))
    fake = Fake(model())
    fake.handle.vocab.controls = controls
    await chat(fake)
    assert fake.handle.asked["spelled"] == spelled


XML = Output("xml", PLAIN.make, calls=CallSyntax("<f>", "<f>", "</f>", arguments="xml"))
HERMES = Output("hermes", PLAIN.make, calls=CallSyntax("<t>", '<t>{"name": "{name}", "arguments": ', "}</t>"))


@pytest.mark.parametrize(
    ("output", "choice", "expected"),
    [
        (HERMES, REQUIRED, HERMES),
        (HERMES, ToolChoice(), HERMES),
        (XML, REQUIRED, JSON_CALLS),
        (XML, ToolChoice(), XML),
        (PLAIN, REQUIRED, JSON_CALLS),
    ],
)
async def test_calls_that_are_forced_are_json(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch, output: Output, choice: ToolChoice, expected: Output
) -> None:
    monkeypatch.setattr(ability, "choose", lambda **_: Renderer("go", TOOLS, output=output))
    fake = Fake(model(TOOLS))
    fake.handle.says = ['{"name": "f", "arguments": {}}']
    with contextlib.suppress(CallUnfinished):
        await chat(fake, tools=(TOOL,), tool_choice=choice)
    assert grammars.planned["output"] == expected
    assert not grammars.planned["think"]


async def test_a_bias_for_no_token_is_refused() -> None:
    with pytest.raises(BadRequest, match='field "logit_bias" names token 300; the model has 256'):
        await chat(Fake(model()), logit_bias={65: 1.0, 300: 1.0})


class Grammars:
    """Stands in for the room of grammars and the compiler; keeps what they are asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checked: list[Any] = []
        self.planned: dict[str, Any] = {}
        self.text: str | None = "start: x"
        monkeypatch.setattr(grammar, "check", lambda *asked: self.checked.append(asked))
        monkeypatch.setattr(grammar, "plan", self._plan)
        monkeypatch.setattr(constrain, "specials", lambda vocab: {"<t>": 5})
        monkeypatch.setattr(constrain, "compile_grammar", lambda text, vocab: f"compiled {text}")

    def _plan(self, **asked: Any) -> str | None:
        self.planned = asked
        return self.text


@pytest.fixture
def grammars(monkeypatch: pytest.MonkeyPatch) -> Grammars:
    return Grammars(monkeypatch)


JSON = Format("json")


@pytest.mark.parametrize(
    ("stored", "fields", "planned"),
    [
        (model(), {"format": JSON}, {"form": JSON, "tools": (), "think": False}),
        (model(THINKING), {"format": JSON}, {"form": JSON, "think": True}),
        (model(THINKING), {"format": JSON, "think": False}, {"think": False}),
        (model(TOOLS), {"tools": (TOOL,)}, {"tools": (TOOL,), "choice": ToolChoice(), "form": None}),
        (
            model(),
            {"tools": (TOOL,), "tool_choice": REQUIRED, "parallel_tool_calls": False},
            {"tools": (TOOL,), "choice": REQUIRED, "parallel": False},
        ),
    ],
)
async def test_what_an_answer_is_held_to(
    grammars: Grammars, stored: Model, fields: dict[str, Any], planned: dict[str, Any]
) -> None:
    fake = Fake(stored)
    fake.handle.says = ['{"name": "f", "arguments": {}}']
    with contextlib.suppress(CallUnfinished):
        await chat(fake, **fields)
    assert grammars.checked == [(fields.get("format"), fields.get("tools", ()))]
    assert {name: grammars.planned[name] for name in planned} == planned
    assert grammars.planned["specials"] == {"<t>": 5}
    assert grammars.planned["prompt"] == fake.handle.prompt
    assert fake.handle.asked["constraint"] == "compiled start: x"


@pytest.mark.parametrize(
    "fields", [{}, {"tools": (TOOL,), "tool_choice": ToolChoice("none")}, {"logit_bias": {1: 2.0}}]
)
async def test_what_is_held_to_nothing(grammars: Grammars, fields: dict[str, Any]) -> None:
    fake = Fake(model(TOOLS))
    await chat(fake, **fields)
    assert (grammars.checked, grammars.planned, fake.handle.asked["constraint"]) == ([], {}, None)


async def test_a_prompt_is_held_to_a_format_too(grammars: Grammars) -> None:
    fake = Fake(model())
    await generate(fake, format=JSON)
    assert (grammars.planned["form"], grammars.planned["tools"]) == (JSON, ())
    grammars.text = None
    await generate(fake, format=JSON)
    assert fake.handle.asked["constraint"] is None


async def test_what_no_grammar_can_hold_is_refused_before_the_load(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BadRequest('format: "nosuch" is no keyword')

    monkeypatch.setattr(grammar, "check", refuse)
    fake = Fake(model())
    with pytest.raises(BadRequest, match="nosuch"):
        await generate(fake, format=JSON)
    assert fake.manager.leases == 0


async def test_a_grammar_that_takes_too_long_ends_its_own_request_alone(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    monkeypatch.setattr(constrain, "compile_grammar", lambda text, vocab: free.wait(30))
    monkeypatch.setattr(pool, "DEADLINE", 0.0)
    monkeypatch.setattr(pool, "GRACE", 0.05)
    fake = Fake(model())
    try:
        with pytest.raises(BadRequest, match="the grammar took longer than 0 s to prepare"):
            await generate(fake, format=JSON)
        assert (await generate(fake))[-1].done
    finally:
        free.set()


async def test_a_template_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Model] = []
    known = ability.known

    def counted(stored: Model, prefer_go: bool | None) -> ability.Known:
        looked.append(stored)
        return known(stored, prefer_go)

    monkeypatch.setattr(ability, "known", counted)
    fake = Fake(model())
    await chat(fake)
    await generate(fake)
    assert len(looked) == 1
