"""Prompts ready for the engine: rendered, tokenised, and cut to fit. All of it is for a thread of the pool."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ollama_jupyter.errors import BadRequest, PromptTooLong
from ollama_jupyter.manager import Lease
from ollama_jupyter.messages import ChatRequest, GenerateRequest, Message, Options, Truncated
from ollama_jupyter.prompt import fit
from ollama_jupyter.prompt.select import Rendered, Renderer, assemble, for_generate
from ollama_jupyter.service import pool
from ollama_jupyter.store.models import Model

_NO_SHIFT = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready for the engine, and what had to go to make it fit."""

    tokens: tuple[int, ...]
    truncated: Truncated | None = None


def render_generate(renderer: Renderer, model: Model, request: GenerateRequest) -> Rendered:
    if request.raw:
        return Rendered(request.prompt, has_bos=False)
    if request.template:
        system = request.system or model.system
        return renderer.template(request.template, system=system, prompt=request.prompt, think=request.think)
    messages = for_generate(
        request.prompt,
        system=request.system,
        model_system=model.system,
        model_messages=model.messages,
        has_context=bool(request.context),
    )
    return renderer.generate(messages, think=request.think)


def generate_prompt(
    lease: Lease, renderer: Renderer, model: Model, request: GenerateRequest, options: Options
) -> Prompt:
    rendered = render_generate(renderer, model, request)
    if request.context:
        rendered = Rendered(lease.vocab.text(request.context) + rendered.text, has_bos=True)
    tokens = _tokenize(lease, rendered, time.monotonic() + pool.DEADLINE)
    if not request.truncate and len(tokens) > lease.num_ctx:
        raise fit.too_long(len(tokens), lease.num_ctx)
    return _cut(tokens, lease, options, request.shift)


def chat_prompt(lease: Lease, renderer: Renderer, model: Model, request: ChatRequest, options: Options) -> Prompt:
    deadline = time.monotonic() + pool.DEADLINE
    fitted = fit.fit(
        messages_of(model, request),
        render=lambda kept: _tokenize(lease, renderer.chat(kept, think=request.think), deadline),
        count=len,
        num_ctx=lease.num_ctx,
        truncate=request.truncate,
    )
    return _cut(fitted.prompt, lease, options, request.shift, fitted.dropped_messages, fitted.dropped_tokens)


def messages_of(model: Model, request: ChatRequest) -> tuple[Message, ...]:
    return assemble(model.system, model.messages, request.messages, forget_thinking=_forgets_thinking(model))


def _tokenize(lease: Lease, rendered: Rendered, deadline: float) -> list[int]:
    return lease.vocab.tokenize(rendered.text, add_special=not rendered.has_bos, deadline=deadline)


def _cut(tokens: list[int], lease: Lease, options: Options, shift: bool, messages: int = 0, dropped: int = 0) -> Prompt:
    """Cut tokens where whole messages were not enough."""
    if len(tokens) >= lease.num_ctx and not shift:
        raise PromptTooLong(_NO_SHIFT)
    kept, cut = fit.cut_tokens(tokens, lease.num_ctx, options.num_keep, lease.vocab.adds_bos)
    if not kept:
        raise BadRequest("the prompt is empty after templating")
    truncated = Truncated(messages, dropped + cut, lease.num_ctx) if messages or cut else None
    return Prompt(tuple(kept), truncated)


def _forgets_thinking(model: Model) -> bool:
    """Families that were trained on dialogues without the thinking of earlier turns."""
    return model.family == "qwen3" or model.name.model == "deepseek-r1"
