"""Any conversation and any tools are rendered or refused, within the limits, by every kind of template."""

from __future__ import annotations

import time
from typing import Any

import pytest
from golden_families import PUBLISHED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published import template

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.families import FAMILIES
from ollama_jupyter.prompt.limits import MAX_TEXT
from ollama_jupyter.prompt.renderers import names
from ollama_jupyter.prompt.select import Renderer, choose

PIECES = (
    "<|im_end|>",
    "</tools>",
    "{{ x }}",
    "{% raw %}",
    "[img]",
    "</think>",
    '"',
    "\\",
    "\n",
    "<｜User｜>",
    "\ud800",
)
texts = st.one_of(st.text(max_size=20), st.lists(st.sampled_from(PIECES), max_size=4).map("".join))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, plain, max_size=3)
schemas = st.fixed_dictionaries(
    {},
    optional={
        "type": texts | st.sampled_from(["object", "string", "array"]) | st.lists(texts, max_size=2),
        "description": texts,
        "enum": st.lists(plain, max_size=3),
        "items": objects,
        "properties": objects,
        "required": st.lists(texts, max_size=2),
    },
)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "type": texts,
        "required": st.lists(texts, max_size=3),
        "properties": st.dictionaries(texts, schemas, max_size=3),
        "$defs": objects,
    },
)
functions = st.fixed_dictionaries({"name": texts}, optional={"description": texts, "parameters": parameters})
tools = st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": functions}), max_size=3)
calls = st.builds(ToolCall, texts, objects, texts)
messages = st.lists(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant", "tool", "developer"]) | texts,
        texts,
        texts,
        st.lists(st.binary(max_size=3), max_size=2).map(tuple),
        st.lists(calls, max_size=2).map(tuple),
        texts,
        texts,
    ),
    max_size=6,
)
thinking = st.sampled_from([None, True, False, "low", "medium", "high", "max"])


def renderers() -> dict[str, Renderer]:
    found = {f"go {one.name}": choose(template=one.template, chat_template=None) for one in FAMILIES}
    found |= {f"renderer {name}": choose(template=None, chat_template=None, renderer=name) for name in names()}
    return found | {
        f"jinja {name}": choose(template=None, chat_template=template(PUBLISHED[name].source))
        for name in ("qwen3", "llama3.1", "gemma4", "gpt-oss", "mistral-nemo", "deepseek-v3.1", "cohere")
    }


RENDERERS = renderers()


@pytest.mark.parametrize("name", RENDERERS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=messages, offered=tools, think=thinking)
def test_rendered_or_refused(name: str, said: list[Message], offered: list[Any], think: bool | str | None) -> None:
    try:
        rendered = RENDERERS[name].chat(said, tools=offered, think=think)
    except TemplateError:
        pass
    else:
        assert len(rendered.text) <= MAX_TEXT
        assert len(rendered.images) == sum(len(message.images) for message in said)


HUGE = [{"type": "function", "function": {"name": "f" * 100_000, "description": "d" * 3_000_000}}] * 3
MANY = [
    {"type": "function", "function": {"name": f"f{i}", "parameters": {"properties": {"a": {}}}}} for i in range(50_000)
]
NESTED: Any = {"a": 1}
for _ in range(400):
    NESTED = {"type": "object", "properties": {"a": NESTED}}
DEEP = [{"type": "function", "function": {"name": "f", "parameters": NESTED}}]


@pytest.mark.parametrize(
    "name",
    [
        "go qwen3",
        "go gpt-oss",
        "jinja qwen3",
        "jinja gpt-oss",
        "renderer qwen3-coder",
        "renderer gemma4-large",
        "renderer cogito",
        "renderer functiongemma",
    ],
)
@pytest.mark.parametrize("offered", [HUGE, MANY, DEEP], ids=["huge", "many", "deep"])
def test_tools_do_not_break_out_of_the_limits(name: str, offered: list[Any]) -> None:
    began = time.monotonic()
    try:
        text = RENDERERS[name].chat([Message("user", "u")], tools=offered).text
    except TemplateError:
        pass
    else:
        assert len(text) <= MAX_TEXT
    assert time.monotonic() - began < 20
