"""Vectors of texts, and how well documents answer a query."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence

from ollama_jupyter.errors import BadRequest, NoEmbeddings
from ollama_jupyter.manager import EMBED_BATCH, Lease, Manager
from ollama_jupyter.messages import Embeddings, EmbedRequest, Options, Ranking, RerankRequest, Stats
from ollama_jupyter.service import pool
from ollama_jupyter.service.pool import Pool
from ollama_jupyter.store.models import Model


class Embedding:
    """`embed` and `rerank` over loaded models. `resolve` turns a name into a stored model."""

    def __init__(self, resolve: Callable[[str], Awaitable[Model]], manager: Manager, threads: Pool) -> None:
        self._resolve = resolve
        self._manager = manager
        self._pool = threads

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """A vector for each input, in order. No inputs load the model, or unload it with keep_alive 0.

        Raises:
            NoEmbeddings: the model makes no vectors of texts.
            BadRequest: an input is too long and may not be cut, or the vector is none.
        """
        started = time.perf_counter()
        model = await self._resolve(request.model)
        if not request.inputs and request.keep_alive == 0:
            await self._manager.unload(model)
            return Embeddings(())
        if not model.gguf.embeds:
            raise NoEmbeddings(request.model)
        options = Options.merge(model.params, request.options)
        async with self._manager.lease(model, options, request.keep_alive, embeds=True) as lease:
            if not request.inputs:
                return Embeddings(())
            tokens = await self._pool.run(lambda: _tokens(lease, request.inputs, cut=request.truncate), lease)
            vectors = await lease.handle.embed(tokens)
            normalize = request.normalize or not _is_raw(model)
            made = await self._pool.run(
                lambda: tuple(_finished(vector, request.dimensions, normalize) for vector in vectors), what="vectors"
            )
            return Embeddings(made, tuple(map(len, tokens)), _stats(started, lease, tokens))

    async def rerank(self, request: RerankRequest) -> Ranking:
        """A score for each document, in order.

        Raises:
            BadRequest: the model does not rank, or a document is too long and may not be cut.
        """
        started = time.perf_counter()
        model = await self._resolve(request.model)
        if not model.gguf.ranks:
            raise BadRequest(f'"{request.model}" does not support reranking')
        options = Options.merge(model.params)
        async with self._manager.lease(model, options, request.keep_alive, embeds=True) as lease:
            pairs = await self._pool.run(lambda: _pairs(lease, request), lease)
            vectors = await lease.handle.embed(pairs)
            scores = tuple(_checked(vector)[0] for vector in vectors)
            return Ranking(scores, sum(map(len, pairs)), _stats(started, lease, pairs))


def _is_raw(model: Model) -> bool:
    """Models whose vectors the older endpoint gives as they are. Those of all others have length 1 there too."""
    return model.family == "nomic-bert" or model.gguf.get("normalize_embeddings") is False


def _stats(started: float, lease: Lease, tokens: Sequence[Sequence[int]]) -> Stats:
    total = time.perf_counter() - started
    return Stats(total, lease.load_duration, prompt_eval_count=sum(map(len, tokens)))


# ---- texts to tokens: called in the pool ------------------------------------------------------------------------


def _limit(lease: Lease) -> int:
    return min(lease.num_ctx, lease.handle.params.num_batch, EMBED_BATCH)


def _tokens(lease: Lease, texts: Sequence[str], *, cut: bool) -> tuple[tuple[int, ...], ...]:
    before, behind = lease.vocab.frame
    room = _limit(lease) - len(before) - len(behind)
    if room <= 0:
        raise BadRequest("input after truncation exceeds maximum context length")
    deadline = time.monotonic() + pool.DEADLINE
    made = []
    for text in texts:
        tokens = lease.vocab.tokenize(text, add_special=False, deadline=deadline)
        if len(tokens) > room and not cut:
            raise BadRequest("the input length exceeds the context length")
        made.append((*before, *tokens[:room], *behind) or _nothing())
    return tuple(made)


def _nothing() -> tuple[int, ...]:
    raise BadRequest("an empty input has no tokens in this model, and so no embedding")


def _pairs(lease: Lease, request: RerankRequest) -> tuple[tuple[int, ...], ...]:
    """Each document behind the query. What is too long is cut at its end: the query to half of the room.

    No text of a stranger becomes a control token.
    """
    limit, deadline = _limit(lease), time.monotonic() + pool.DEADLINE
    room = limit - len(lease.vocab.pair((), ()))
    texts = [
        lease.vocab.tokenize(text, add_special=False, parse_special=False, deadline=deadline)
        for text in (request.query, *request.documents)
    ]
    query, documents = texts[0], texts[1:]
    if not request.truncate and len(query) + max(map(len, documents)) > room:
        raise BadRequest("the input length exceeds the context length")
    query = query[: max(room // 2, room - max(map(len, documents)))]
    return tuple(tuple(lease.vocab.pair(query, document[: room - len(query)])) for document in documents)


# ---- vectors ----------------------------------------------------------------------------------------------------


def _checked(vector: array[float]) -> array[float]:
    if not all(map(math.isfinite, vector)):
        raise BadRequest("embedding contains NaN or Inf values")
    return vector


def _finished(vector: array[float], dimensions: int, normalize: bool) -> array[float]:
    """Cut to `dimensions`, and of length 1 where asked for. A vector of zeros stays one."""
    vector = _checked(vector)
    if 0 < dimensions < len(vector):
        vector = vector[:dimensions]
    length = math.sqrt(math.fsum(value * value for value in vector))
    return array("f", [value / length for value in vector]) if normalize and length else vector
