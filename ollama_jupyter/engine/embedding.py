"""llama.cpp's embedding context, typed and checked: the Encoder that the embedder drives. For one thread."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from llama_cpp import llama_cpp as C

from ollama_jupyter.engine.backend import Span
from ollama_jupyter.engine.batch import BatchArrays
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.model import AbortFlag, LlamaModel, supports_offload
from ollama_jupyter.errors import EngineError, ModelLoadError

MAX_SEQUENCES = 64
"""Inputs of one batch: llama.cpp keeps a mask of tokens by tokens, and more sequences than that save nothing."""

PACK = 192
"""Tokens up to which inputs share a batch on a CPU: attention is over all of it, and larger ones run no faster."""


class EmbeddingBackend:
    """A loaded model with one context that pools. `close` frees everything.

    A batch is one micro-batch, because attention that looks ahead must see all of an input at once.

    Raises:
        ModelLoadError: llama.cpp refuses the file or the context, or the model does not say how it pools.
    """

    def __init__(
        self,
        params: EngineParams,
        abort: AbortFlag | None = None,
        progress: Callable[[float], bool] | None = None,
    ) -> None:
        self._abort = abort or AbortFlag()
        self._model = LlamaModel(params, progress)
        try:
            self._model.open(self._context_params(params))
            self._context = self._model.context
            pooling = C.llama_pooling_type(self._context)
            if pooling in (C.LLAMA_POOLING_TYPE_UNSPECIFIED, C.LLAMA_POOLING_TYPE_NONE):
                raise ModelLoadError("this model does not pool its embeddings, so it has no vectors of whole texts")
        except BaseException:
            self.close()
            raise
        ranks = pooling == C.LLAMA_POOLING_TYPE_RANK
        outputs = C.llama_model_n_cls_out if ranks else C.llama_model_n_embd_out
        self.dimensions = int(outputs(self._model.handle))
        self.vocab = self._model.vocab
        self.n_batch = int(C.llama_n_batch(self._context))
        self.n_pack = self.n_batch if supports_offload() and params.num_gpu != 0 else min(self.n_batch, PACK)
        self.n_seq_max = int(C.llama_n_seq_max(self._context))
        self._memory = C.llama_get_memory(self._context)
        self._batch = BatchArrays(self.n_batch, self.n_seq_max)

    def _context_params(self, params: EngineParams) -> Any:
        longest = max(self._model.trained_ctx, 256)
        if not 4 <= params.num_batch <= longest:
            raise ModelLoadError(f"a batch of {params.num_batch} tokens is not valid for this model")
        context_params = C.llama_context_default_params()
        context_params.n_ctx = context_params.n_batch = context_params.n_ubatch = params.num_batch
        context_params.n_seq_max = min(MAX_SEQUENCES, params.num_batch)
        context_params.kv_unified = True
        context_params.embeddings = True
        context_params.n_threads = context_params.n_threads_batch = params.threads or 1
        if params.flash_attention is not None:
            context_params.flash_attn_type = int(params.flash_attention)
        context_params.abort_callback = self._abort.callback
        context_params.abort_callback_data = self._abort.data
        return context_params

    @property
    def size(self) -> int:
        """Bytes of the weights as llama.cpp holds them."""
        return self._model.size

    def set_threads(self, count: int) -> None:
        C.llama_set_n_threads(self._context, count, count)

    def encode(self, inputs: Sequence[Sequence[int]]) -> list[array[float]]:
        """A vector for each input, in order; [] where the run was aborted.

        Raises:
            EngineError: too many or unknown tokens, or llama.cpp failed.
        """
        self._check(inputs)
        self._batch.fill([Span(seq, 0, tokens, logits=True) for seq, tokens in enumerate(inputs)], every=True)
        if self._memory:
            C.llama_memory_clear(self._memory, True)
        # Models without a cache only encode; those that generate otherwise go through their cache.
        code = (C.llama_decode if self._memory else C.llama_encode)(self._context, self._batch.struct)
        if code == 2:
            return []
        if code != 0:
            raise EngineError(f"llama.cpp failed to run the model (code {code})")
        return [self._vector(seq) for seq in range(len(inputs))]

    def _check(self, inputs: Sequence[Sequence[int]]) -> None:
        if not 0 < len(inputs) <= self.n_seq_max or sum(map(len, inputs)) > self.n_batch:
            raise EngineError(f"{len(inputs)} inputs do not fit into one batch of {self.n_batch} tokens")
        for tokens in inputs:
            if not tokens or min(tokens) < 0 or max(tokens) >= self.vocab.size:
                raise EngineError("a token is not in the vocabulary")

    def _vector(self, seq: int) -> array[float]:
        values = C.llama_get_embeddings_seq(self._context, seq)
        if not values:
            raise EngineError("llama.cpp gave no embedding for an input")
        vector = array("f")
        vector.frombytes(ctypes.string_at(values, self.dimensions * vector.itemsize))
        return vector

    def close(self) -> None:
        """Free the context, then the model. Harmless when called again."""
        self._model.close()
