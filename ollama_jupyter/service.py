"""The main path: a request comes in, chunks of its answer come out.

Both generators raise what is wrong before the first chunk, and what goes wrong later in the middle. Closing a
generator, or canceling the task that consumes it, cancels the work wherever it is: queued, in prefill, decoding.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from ollama_jupyter.config import Settings
from ollama_jupyter.engine.events import Finished, Text
from ollama_jupyter.errors import BadRequest, PromptTooLong, ServerBusy
from ollama_jupyter.manager import Lease, Manager
from ollama_jupyter.messages import ChatRequest, Chunk, GenerateRequest, Message, Options, Stats, Truncated
from ollama_jupyter.prompt import fit
from ollama_jupyter.prompt.select import Rendered, Renderer, assemble, capabilities, choose, for_generate
from ollama_jupyter.store.models import Model

T = TypeVar("T")

PROMPT_DEADLINE = 30.0
"""Seconds that rendering and tokenising a prompt may take before the request is refused."""

GRACE = 2.0
"""Seconds more for a call that keeps the deadline itself; what is still running then does not come back."""

PROMPT_THREADS, MAX_LOST = 2, 8

_NO_SHIFT = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready for the engine, and what had to go to make it fit."""

    tokens: tuple[int, ...]
    truncated: Truncated | None = None


class Service:
    """`generate` and `chat` over loaded models. `resolve` turns a name into a stored model."""

    def __init__(self, resolve: Callable[[str], Awaitable[Model]], manager: Manager, settings: Settings) -> None:
        self._resolve = resolve
        self._manager = manager
        self._settings = settings
        # Rendering and tokenising cannot be interrupted: a pool of their own keeps bad prompts from starving the rest.
        self._pool = _prompt_pool()
        self._turns = asyncio.Semaphore(PROMPT_THREADS)
        self._lost: set[asyncio.Future[Any]] = set()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Answer `/api/generate`. An empty prompt loads the model, or unloads it with keep_alive 0.

        Raises:
            OllamaJupyterError: see the tree in errors.py.
        """
        started = time.perf_counter()
        model = await self._resolve(request.model)
        if not request.prompt and request.keep_alive == 0:
            yield await self._unload(model)
            return
        if request.raw and (request.template or request.system or request.context):
            raise BadRequest("raw mode does not support template, system, or context")
        renderer = self._renderer(model, request.model, "generate")
        options = Options.merge(model.params, request.options)
        if request.debug_render_only:
            rendered = await self._in_pool(lambda: _render_generate(renderer, model, request))
            yield Chunk(rendered=rendered.text)
            return
        async with self._manager.lease(model, options, request.keep_alive) as lease:
            if not request.prompt:
                yield Chunk(done=True, done_reason="load")
                return
            prompt = await self._in_pool(lambda: _generate_prompt(lease, renderer, model, request, options), lease)
            async with aclosing(self._run(lease, prompt, options, request.shift, started, not request.raw)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer `/api/chat`. No messages load the model, or unload it with keep_alive 0.

        Raises:
            OllamaJupyterError: see the tree in errors.py.
        """
        started = time.perf_counter()
        model = await self._resolve(request.model)
        if not request.messages and request.keep_alive == 0:
            yield await self._unload(model)
            return
        renderer = self._renderer(model, request.model, "chat")
        options = Options.merge(model.params, request.options)
        if request.debug_render_only:
            rendered = await self._in_pool(lambda: renderer.chat(_messages(model, request), think=request.think))
            yield Chunk(rendered=rendered.text)
            return
        async with self._manager.lease(model, options, request.keep_alive) as lease:
            if not request.messages:
                yield Chunk(done=True, done_reason="load")
                return
            prompt = await self._in_pool(lambda: _chat_prompt(lease, renderer, model, request, options), lease)
            async with aclosing(self._run(lease, prompt, options, request.shift, started)) as chunks:
                async for chunk in chunks:
                    yield chunk

    # ---- steps ------------------------------------------------------------------------------------------------

    async def _unload(self, model: Model) -> Chunk:
        await self._manager.unload(model)
        return Chunk(done=True, done_reason="unload")

    def _renderer(self, model: Model, name: str, verb: str) -> Renderer:
        renderer = choose(
            template=model.template,
            chat_template=model.chat_template,
            family=model.family,
            bos=model.bos,
            eos=model.eos,
            prefer_go=self._settings.go_template,
            renderer=model.renderer,
            parser=model.parser,
        )
        able = capabilities(
            template=model.template,
            chat_template=model.chat_template,
            native=renderer.kind == "jinja",
            family=model.family,
            configured=model.configured_capabilities,
            pooling=model.gguf.has_pooling,
        )
        if "completion" not in able:
            raise BadRequest(f'"{name}" does not support {verb}')
        return renderer

    async def _in_pool(self, work: Callable[[], T], lease: Lease | None = None) -> T:
        """Run prompt work off the loop, with a deadline: the call itself cannot be stopped, the request can.

        The model stays in memory until the call is over, however the request ends.
        """
        if len(self._lost) >= MAX_LOST:
            raise ServerBusy
        async with self._turns:
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
            future.add_done_callback(_ignore_outcome)
            if lease is not None:
                lease.hold(future)
            try:
                return await asyncio.wait_for(asyncio.shield(future), PROMPT_DEADLINE + GRACE)
            except asyncio.TimeoutError:
                self._give_up(future)
                raise BadRequest(f"the prompt took longer than {PROMPT_DEADLINE:g} s to prepare") from None

    def _give_up(self, future: asyncio.Future[T]) -> None:
        """A call that does not come back has its thread for good; the others get new ones."""
        self._lost.add(future)
        future.add_done_callback(self._lost.discard)
        self._pool.shutdown(wait=False)
        self._pool = _prompt_pool()

    async def _run(
        self, lease: Lease, prompt: Prompt, options: Options, shift: bool, started: float, keep_context: bool = False
    ) -> AsyncGenerator[Chunk, None]:
        # Kept tokens are those behind the BOS, as Ollama counts them.
        options = options.with_(num_keep=options.num_keep + lease.vocab.adds_bos)
        stream = lease.handle.stream(prompt.tokens, options, lease.num_ctx, shift, on_end=lease.release)
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, Text):
                    yield Chunk(text=event.text)
                else:
                    yield _final_chunk(event, lease, prompt, started, keep_context)


def _prompt_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(PROMPT_THREADS, thread_name_prefix="ollama-prompt")


def _ignore_outcome(future: asyncio.Future[T]) -> None:
    """Nobody waits any more; look at the exception, so that it is not reported as forgotten."""
    if not future.cancelled():
        future.exception()


def _final_chunk(end: Finished, lease: Lease, prompt: Prompt, started: float, keep_context: bool) -> Chunk:
    return Chunk(
        done=True,
        done_reason=end.reason,
        stats=Stats(
            total_duration=time.perf_counter() - started,
            load_duration=lease.load_duration,
            prompt_eval_count=end.prompt_tokens,
            prompt_eval_duration=end.prompt_seconds,
            eval_count=len(end.tokens),
            eval_duration=end.eval_seconds,
            cached_tokens=end.cached_tokens,
        ),
        context=prompt.tokens + end.tokens if keep_context else (),
        truncated=prompt.truncated,
    )


# ---- prompts: called in the pool ----------------------------------------------------------------------------------


def _render_generate(renderer: Renderer, model: Model, request: GenerateRequest) -> Rendered:
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


def _generate_prompt(
    lease: Lease, renderer: Renderer, model: Model, request: GenerateRequest, options: Options
) -> Prompt:
    rendered = _render_generate(renderer, model, request)
    if request.context:
        rendered = Rendered(lease.vocab.text(request.context) + rendered.text, has_bos=True)
    tokens = _tokenize(lease, rendered, time.monotonic() + PROMPT_DEADLINE)
    if not request.truncate and len(tokens) > lease.num_ctx:
        raise fit.too_long(len(tokens), lease.num_ctx)
    return _cut(tokens, lease, options, request.shift)


def _chat_prompt(lease: Lease, renderer: Renderer, model: Model, request: ChatRequest, options: Options) -> Prompt:
    deadline = time.monotonic() + PROMPT_DEADLINE
    fitted = fit.fit(
        _messages(model, request),
        render=lambda kept: _tokenize(lease, renderer.chat(kept, think=request.think), deadline),
        count=len,
        num_ctx=lease.num_ctx,
        truncate=request.truncate,
    )
    return _cut(fitted.prompt, lease, options, request.shift, fitted.dropped_messages, fitted.dropped_tokens)


def _messages(model: Model, request: ChatRequest) -> tuple[Message, ...]:
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
