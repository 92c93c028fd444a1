"""The main path: a request comes in, chunks of its answer come out.

Both generators raise what is wrong before the first chunk, and what goes wrong later in the middle. Closing a
generator, or canceling the task that consumes it, cancels the work wherever it is: queued, in prefill, decoding.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from ollama_jupyter.config import Settings
from ollama_jupyter.engine.constrain import Constraint
from ollama_jupyter.errors import Forbidden, ModelNotFound
from ollama_jupyter.manager import Lease, Manager
from ollama_jupyter.messages import ChatRequest, Chunk, GenerateRequest, Options
from ollama_jupyter.service import ability, constraints
from ollama_jupyter.service.answer import Ending, Events, answers
from ollama_jupyter.service.embed import Embedding
from ollama_jupyter.service.offer import Offer
from ollama_jupyter.service.pool import Pool
from ollama_jupyter.service.prompts import Job, Prompt
from ollama_jupyter.store.cache import Recent
from ollama_jupyter.store.models import Model

KEPT = 64
"""Models of which it is remembered how they are rendered."""


class Service:
    """`generate` and `chat` over loaded models. `resolve` turns a name into a stored model."""

    def __init__(self, resolve: Callable[[str], Awaitable[Model]], manager: Manager, settings: Settings) -> None:
        self._resolve = resolve
        self._manager = manager
        self._settings = settings
        self._pool = Pool()
        self._kept: Recent[tuple[str, str], ability.Known] = Recent(KEPT)
        self._grammars = Pool()  # one of their own: absurd ones take their time
        embedding = Embedding(resolve, manager, self._pool)
        self.embed = embedding.embed
        self.rerank = embedding.rerank

    def close(self) -> None:
        self._pool.close()
        self._grammars.close()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Answer `/api/generate`. An empty prompt loads the model, or unloads it with keep_alive 0.

        Raises:
            OllamaJupyterError: see the tree in errors.py.
        """
        async with aclosing(self._answer(request, is_empty=not request.prompt)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer `/api/chat`. No messages load the model, or unload it with keep_alive 0.

        Raises:
            OllamaJupyterError: see the tree in errors.py.
        """
        async with aclosing(self._answer(request, is_empty=not request.messages)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def count_tokens(self, request: ChatRequest) -> int:
        """How many tokens a conversation has for its model, before anything is cut.

        Raises:
            OllamaJupyterError: see the tree in errors.py.
        """
        model = await self._model(request.model)
        job = await self._job(request, model)
        async with self._manager.lease(model, job.options, request.keep_alive) as lease:
            return await self._pool.run(lambda: job.count(lease), lease)

    # ---- steps ------------------------------------------------------------------------------------------------

    async def _answer(self, request: ability.Request, *, is_empty: bool) -> AsyncGenerator[Chunk, None]:
        started = time.perf_counter()
        model = await self._model(request.model)
        if is_empty and request.keep_alive == 0:
            await self._manager.unload(model)
            yield Chunk(done=True, done_reason="unload")
            return
        job = await self._job(request, model)
        if request.debug_render_only:
            rendered = await self._pool.run(job.rendered)
            yield Chunk(rendered=rendered.text, image_count=len(rendered.images))
            return
        if constraints.is_held(job):
            await self._grammars.run(lambda: constraints.check(job), what="grammar")
        async with self._manager.lease(model, job.options, request.keep_alive) as lease:
            if is_empty:
                yield Chunk(done=True, done_reason="load")
                return
            async with aclosing(self._run(job, lease, started)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _model(self, name: str) -> Model:
        """The stored model of that name. Raises ModelNotFound, or Forbidden where only ollama.com's cloud has it."""
        try:
            return await self._resolve(name)
        except ModelNotFound:
            if name.strip().lower().endswith((":cloud", "-cloud")):
                raise Forbidden("ollama cloud is disabled: remote model is unavailable") from None
            raise

    async def _job(self, request: ability.Request, model: Model) -> Job:
        """The request with the model that it is for, all that is unset decided.

        Raises:
            BadRequest: the model cannot do what is asked.
        """
        renderer, able = await self._known(model)
        ability.check(request, model, able)
        offer = Offer.of(request, able, renderer.output) if isinstance(request, ChatRequest) else Offer()
        think = ability.thinking(request, able, renderer)
        # There is no thinking before calls in plain JSON.
        request = replace(request, think=False if offer.in_json and think else think)
        return Job(model, renderer, request, Options.merge(model.params, request.options), offer)

    async def _known(self, model: Model) -> ability.Known:
        """What renders the model's prompts, and what it can do. Strangers' templates are looked at in a thread."""
        key = model.digest, model.name.model
        if (known := self._kept.get(key)) is None:
            known = await self._pool.run(lambda: ability.known(model, self._settings.go_template))
            self._kept.put(key, known)
        return known

    async def _run(self, job: Job, lease: Lease, started: float) -> AsyncGenerator[Chunk, None]:
        ability.check_tokens(job.request, lease.vocab.size)
        prompt = await self._pool.run(lambda: job.prompt(lease), lease)
        held = await self._constraint(job, prompt, lease) if constraints.is_held(job) else None
        parsers = [job.parser(prompt.text) for _ in range(job.request.n)]
        ending = Ending(prompt, started, lease.load_duration, job.keeps_context)
        async with aclosing(answers(_events(job, lease, prompt, held), parsers, job.rules, ending)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _constraint(self, job: Job, prompt: Prompt, lease: Lease) -> Constraint | None:
        work = partial(constraints.constraint, job, prompt.text, lease)
        return await self._grammars.run(work, lease, what="grammar")


def _events(job: Job, lease: Lease, prompt: Prompt, held: Constraint | None) -> Events:
    request = job.request
    return lease.handle.stream(
        prompt.tokens,
        # Kept tokens are those behind the BOS, as Ollama counts them.
        job.options.with_(num_keep=job.options.num_keep + lease.vocab.adds_bos),
        lease.num_ctx,
        request.shift,
        on_end=lease.release,
        n=request.n,
        logprobs=request.top_logprobs if request.logprobs else None,
        logit_bias=request.logit_bias,
        constraint=held,
        spelled=_spelled(job.output.tags, lease),
    )


def _spelled(tags: Iterable[str], lease: Lease) -> frozenset[int]:
    """The control tokens among the tags: their texts are to come out, so that the parser sees them."""
    vocab = lease.vocab
    found = [vocab.tokenize(tag, add_special=False) for tag in tags]
    return frozenset(tokens[0] for tokens in found if len(tokens) == 1 and not vocab.piece(tokens[0]))
