"""Prompts ready for the engine: rendered, tokenised, and cut to fit. All of it is for a thread of the pool."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ollama_jupyter.errors import BadRequest, PromptTooLong
from ollama_jupyter.manager import Lease
from ollama_jupyter.messages import ChatRequest, GenerateRequest, Message, Options, Truncated
from ollama_jupyter.prompt import fit
from ollama_jupyter.prompt.output import JSON_CALLS, Output, Parser, Setup, output_for
from ollama_jupyter.prompt.select import Rendered, Renderer, assemble, for_generate
from ollama_jupyter.service import pool
from ollama_jupyter.service.offer import Offer
from ollama_jupyter.store.models import Model

_NO_SHIFT = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready for the engine, the text that it was, and what had to go to make it fit."""

    tokens: tuple[int, ...]
    text: str
    truncated: Truncated | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the calls of every answer: whether there must be one, and whether there may be several."""

    must_call: bool = False
    several: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """A request with the model that it is for. Its `think` is decided."""

    model: Model
    renderer: Renderer
    request: ChatRequest | GenerateRequest
    options: Options
    offer: Offer

    @property
    def output(self) -> Output:
        """How the answer is written. A raw prompt keeps the builtin parser out."""
        if isinstance(self.request, GenerateRequest) and self.request.raw:
            kind: Literal["go", "jinja"] = "jinja" if self.renderer.native else "go"
            return output_for(parser="", kind=kind, source=self.renderer.source)
        return JSON_CALLS if self.offer.in_json else self.renderer.output

    @property
    def rules(self) -> Rules:
        """What holds for calls."""
        several = not isinstance(self.request, ChatRequest) or self.request.parallel_tool_calls
        return Rules(self.offer.must_call, several)

    @property
    def keeps_context(self) -> bool:
        """Whether the answer ends with the tokens of the dialogue, to be sent back with the next prompt."""
        return isinstance(self.request, GenerateRequest) and not self.request.raw

    def parser(self, prompt: str) -> Parser:
        """What takes an answer to the prompt apart."""
        return self.output.make(Setup(self.offer.tools, bool(self.request.think), prompt))

    def rendered(self) -> Rendered:
        """The prompt as a text, whether it fits or not."""
        if isinstance(self.request, ChatRequest):
            return self._chat(self.request, self._messages(self.request))
        return _generate(self.renderer, self.model, self.request)

    def count(self, lease: Lease) -> int:
        """Tokens of the prompt, whether it fits or not."""
        return len(_tokenize(lease, self.rendered(), time.monotonic() + pool.DEADLINE))

    def prompt(self, lease: Lease) -> Prompt:
        """The prompt as tokens that fit the window of the lease.

        Raises:
            PromptTooLong: it does not fit, and may not be cut.
            BadRequest, TemplateError: it cannot be made.
        """
        deadline = time.monotonic() + pool.DEADLINE
        if isinstance(self.request, ChatRequest):
            return self._chat_prompt(self.request, lease, deadline)
        return self._generate_prompt(self.request, lease, deadline)

    def _chat(self, request: ChatRequest, messages: Sequence[Message]) -> Rendered:
        told = self.offer.add_to_system(messages)
        return self.renderer.chat(told, think=request.think, tools=self.offer.rendered)

    def _messages(self, request: ChatRequest) -> tuple[Message, ...]:
        forgets = _forgets_thinking(self.model)
        return assemble(self.model.system, self.model.messages, request.messages, forget_thinking=forgets)

    def _chat_prompt(self, request: ChatRequest, lease: Lease, deadline: float) -> Prompt:
        def render(kept: Sequence[Message]) -> tuple[str, list[int]]:
            rendered = self._chat(request, kept)
            return rendered.text, _tokenize(lease, rendered, deadline)

        fitted = fit.fit(
            self._messages(request),
            render=render,
            count=lambda prompt: len(prompt[1]),
            num_ctx=lease.num_ctx,
            truncate=request.truncate,
        )
        text, tokens = fitted.prompt
        return self._cut(tokens, text, lease, fitted.dropped_messages, fitted.dropped_tokens)

    def _generate_prompt(self, request: GenerateRequest, lease: Lease, deadline: float) -> Prompt:
        rendered = self.rendered()
        if request.context:
            rendered = Rendered(lease.vocab.text(request.context) + rendered.text, has_bos=True)
        tokens = _tokenize(lease, rendered, deadline)
        if not request.truncate and len(tokens) > lease.num_ctx:
            raise fit.too_long(len(tokens), lease.num_ctx)
        return self._cut(tokens, rendered.text, lease)

    def _cut(self, tokens: list[int], text: str, lease: Lease, messages: int = 0, dropped: int = 0) -> Prompt:
        """Cut tokens where whole messages were not enough."""
        if len(tokens) >= lease.num_ctx and not self.request.shift:
            raise PromptTooLong(_NO_SHIFT)
        kept, cut = fit.cut_tokens(tokens, lease.num_ctx, self.options.num_keep, lease.vocab.adds_bos)
        if not kept:
            raise BadRequest("the prompt is empty after templating")
        truncated = Truncated(messages, dropped + cut, lease.num_ctx) if messages or cut else None
        return Prompt(tuple(kept), text, truncated)


def _generate(renderer: Renderer, model: Model, request: GenerateRequest) -> Rendered:
    """`raw` goes before all, then the request's own template, then a suffix."""
    if request.raw:
        return Rendered(request.prompt, has_bos=False, images=request.images)
    if request.template:
        return renderer.template(
            request.template,
            system=request.system or model.system,
            prompt=request.prompt,
            suffix=request.suffix,
            think=request.think,
            images=request.images,
        )
    if request.suffix:
        return renderer.suffix(request.prompt, request.suffix, think=request.think)
    messages = for_generate(
        request.prompt,
        system=request.system,
        model_system=model.system,
        model_messages=model.messages,
        has_context=bool(request.context),
        images=request.images,
    )
    return renderer.generate(messages, think=request.think)


def _tokenize(lease: Lease, rendered: Rendered, deadline: float) -> list[int]:
    return lease.vocab.tokenize(rendered.text, add_special=not rendered.has_bos, deadline=deadline)


def _forgets_thinking(model: Model) -> bool:
    """Families that were trained on dialogues without the thinking of earlier turns."""
    return model.family == "qwen3" or model.name.model == "deepseek-r1"
