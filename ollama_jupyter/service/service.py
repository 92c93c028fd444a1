"""The main path: a request comes in, chunks of its answer come out.

Both generators raise what is wrong before the first chunk, and what goes wrong later in the middle. Closing a
generator, or canceling the task that consumes it, cancels the work wherever it is: queued, in prefill, decoding.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from ollama_jupyter.config import Settings
from ollama_jupyter.engine.events import Finished, Text
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.manager import Lease, Manager
from ollama_jupyter.messages import ChatRequest, Chunk, GenerateRequest, Options, Stats
from ollama_jupyter.prompt.select import Renderer, capabilities, choose
from ollama_jupyter.service.pool import Pool
from ollama_jupyter.service.prompts import Prompt, chat_prompt, generate_prompt, messages_of, render_generate
from ollama_jupyter.store.models import Model


class Service:
    """`generate` and `chat` over loaded models. `resolve` turns a name into a stored model."""

    def __init__(self, resolve: Callable[[str], Awaitable[Model]], manager: Manager, settings: Settings) -> None:
        self._resolve = resolve
        self._manager = manager
        self._settings = settings
        self._pool = Pool()

    def close(self) -> None:
        self._pool.close()

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
            rendered = await self._pool.run(lambda: render_generate(renderer, model, request))
            yield Chunk(rendered=rendered.text)
            return
        async with self._manager.lease(model, options, request.keep_alive) as lease:
            if not request.prompt:
                yield Chunk(done=True, done_reason="load")
                return
            prompt = await self._pool.run(lambda: generate_prompt(lease, renderer, model, request, options), lease)
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
            rendered = await self._pool.run(lambda: renderer.chat(messages_of(model, request), think=request.think))
            yield Chunk(rendered=rendered.text)
            return
        async with self._manager.lease(model, options, request.keep_alive) as lease:
            if not request.messages:
                yield Chunk(done=True, done_reason="load")
                return
            prompt = await self._pool.run(lambda: chat_prompt(lease, renderer, model, request, options), lease)
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
