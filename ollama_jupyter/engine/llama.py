"""llama.cpp's generating context, typed and checked: the Backend that the scheduler drives.

Whatever could abort the process is refused here first, as an EngineError: batches over `n_batch`, sampling where no
logits were asked for, sequence or token ids out of range, a context smaller than its number of sequences. Everything
here is for one thread.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as C

from ollama_jupyter.engine import logits
from ollama_jupyter.engine.backend import Outcome, Span
from ollama_jupyter.engine.batch import BatchArrays
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.model import AbortFlag, LlamaModel
from ollama_jupyter.engine.sampling import SamplerStep
from ollama_jupyter.errors import EngineError, ModelLoadError

_CACHE_TYPES = {"": 1, "f16": 1, "f32": 0, "bf16": 30, "q8_0": 8, "q4_0": 2}  # ggml_type numbers


class LlamaBackend:
    """A loaded model with one context: the Backend that the scheduler drives. `close` frees everything.

    Raises:
        ModelLoadError: llama.cpp refuses the file, an adapter, or a context of that size.
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
            self._load_adapters(params.adapters)
        except BaseException:
            self.close()
            raise
        self._context = self._model.context
        self.vocab = self._model.vocab
        self.n_batch = int(C.llama_n_batch(self._context))  # llama.cpp may have cut it to the context
        self.n_seq_max = params.num_parallel
        self._memory = C.llama_get_memory(self._context)
        self.attention_window = int(C.llama_model_n_swa(self._model.handle))
        stateful = C.llama_model_is_recurrent(self._model.handle) or C.llama_model_is_hybrid(self._model.handle)
        self.can_copy = not stateful
        # Cells behind a sliding window are given away, so positions cannot simply be closed up there.
        self.can_shift = not self.attention_window and bool(C.llama_memory_can_shift(self._memory))
        self._batch = BatchArrays(self.n_batch, params.num_parallel)
        self._rows: dict[int, int] = {}  # span of the last batch -> index of its logits

    def _context_params(self, params: EngineParams) -> Any:
        cells = params.num_ctx * params.num_parallel
        longest = max(self._model.trained_ctx, 256)  # beyond it a mistaken number would only take memory, all there is
        if params.num_parallel < 1 or not 4 <= params.num_ctx <= longest or cells >= 2**31:
            raise ModelLoadError(f"{params.num_parallel} sequences of {params.num_ctx} tokens are not a valid context")
        if params.kv_cache_type not in _CACHE_TYPES:
            raise ModelLoadError(f"OLLAMA_KV_CACHE_TYPE must be f16, q8_0 or q4_0, not {params.kv_cache_type}")
        context_params = C.llama_context_default_params()
        context_params.n_ctx = cells
        # One micro-batch, so that an abort undoes it all; and room for a token of every sequence, or C aborts.
        context_params.n_batch = context_params.n_ubatch = max(params.num_batch, params.num_parallel)
        context_params.n_seq_max = params.num_parallel
        context_params.kv_unified = True
        context_params.n_threads = context_params.n_threads_batch = params.threads or 1
        context_params.type_k = context_params.type_v = _CACHE_TYPES[params.kv_cache_type]
        if params.flash_attention is not None:
            context_params.flash_attn_type = int(params.flash_attention)
        context_params.abort_callback = self._abort.callback
        context_params.abort_callback_data = self._abort.data
        return context_params

    def _load_adapters(self, paths: Sequence[str]) -> None:
        adapters = [C.llama_adapter_lora_init(self._model.handle, os.fsencode(path)) for path in paths]
        if not all(adapters):
            raise ModelLoadError("llama.cpp cannot load the model's adapter: it does not fit this model")
        if adapters:
            handles = (C.llama_adapter_lora_p_ctypes * len(adapters))(*adapters)
            scales = (ctypes.c_float * len(adapters))(*[1.0] * len(adapters))
            C.llama_set_adapters_lora(self._model.context, handles, len(adapters), scales)

    @property
    def size(self) -> int:
        """Bytes of the weights as llama.cpp holds them."""
        return self._model.size

    @property
    def trained_ctx(self) -> int:
        return self._model.trained_ctx

    def set_threads(self, count: int) -> None:
        C.llama_set_n_threads(self._context, count, count)

    # ---- Backend ----------------------------------------------------------------------------------------------

    def decode(self, spans: Sequence[Span]) -> Outcome:
        self._check(spans)
        self._rows = self._batch.fill(spans)
        code = C.llama_decode(self._context, self._batch.struct)
        if code != 0:
            self._rows = {}
        if code == 0:
            return Outcome.OK
        if code == 1:
            return Outcome.NO_ROOM
        if code == 2:
            return Outcome.ABORTED
        raise EngineError(f"llama.cpp failed to run the model (code {code})")

    def _check(self, spans: Sequence[Span]) -> None:
        total = sum(len(span.tokens) for span in spans)
        if not 0 < total <= self.n_batch:
            raise EngineError(f"a batch of {total} tokens, at most {self.n_batch} fit")
        for span in spans:
            if not 0 <= span.seq < self.n_seq_max:
                raise EngineError(f"sequence {span.seq} does not exist")
            self._check_tokens(span.tokens)

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        if not tokens or min(tokens) < 0 or max(tokens) >= self.vocab.size:
            raise EngineError("a token is not in the vocabulary")

    def sampler(self, steps: Sequence[SamplerStep], history: Sequence[int]) -> Any:
        chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        try:
            for step in steps:
                C.llama_sampler_chain_add(chain, self._make_sampler(step))
        except EngineError:
            self.free_sampler(chain)
            raise
        for token in history:
            C.llama_sampler_accept(chain, token)
        return chain

    def _make_sampler(self, step: SamplerStep) -> Any:
        if step.name == "logit_bias":
            return self._make_bias(step.args)
        args = (self.vocab.size, *step.args) if step.name == "penalties" else step.args
        return getattr(C, f"llama_sampler_init_{step.name}")(*args)

    def _make_bias(self, pairs: Sequence[float]) -> Any:
        tokens = [int(token) for token in pairs[::2]]
        self._check_tokens(tokens)
        made = [C.llama_logit_bias(token, bias) for token, bias in zip(tokens, pairs[1::2], strict=True)]
        biases = (C.llama_logit_bias * len(made))(*made)
        return C.llama_sampler_init_logit_bias(self.vocab.size, len(tokens), biases)

    def free_sampler(self, sampler: Any) -> None:
        C.llama_sampler_free(sampler)

    def sample(self, sampler: Any, index: int, mask: bytes | None = None) -> int:
        row = self._row(index)
        if mask is None:
            return int(C.llama_sampler_sample(sampler, self._context, row))
        return logits.draw(sampler, self._logits(row), mask)

    def accept(self, sampler: Any, token: int) -> None:
        self._check_tokens((token,))
        C.llama_sampler_accept(sampler, token)

    def measure(self, index: int) -> logits.LogProbabilities:
        return logits.LogProbabilities(self._logits(self._row(index)))

    def _row(self, index: int) -> int:
        row = self._rows.get(index)
        if row is None:
            raise EngineError("no logits were computed for this row")
        return row

    def _logits(self, row: int) -> Any:
        """A view of llama.cpp's own array, float32 of one row: it holds until the next decode."""
        return np.ctypeslib.as_array(C.llama_get_logits_ith(self._context, row), (self.vocab.size,))

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return self.vocab.piece(token, special=special)

    def is_end(self, token: int) -> bool:
        return self.vocab.is_end(token)

    def first_position(self, seq: int) -> int:
        return int(C.llama_memory_seq_pos_min(self._memory, seq))

    def remove(self, seq: int, start: int, end: int = -1) -> bool:
        return bool(C.llama_memory_seq_rm(self._memory, seq, start, end))

    def copy(self, source: int, target: int, end: int) -> None:
        C.llama_memory_seq_cp(self._memory, source, target, 0, end)

    def move(self, seq: int, start: int, end: int, delta: int) -> None:
        C.llama_memory_seq_add(self._memory, seq, start, end, delta)

    def close(self) -> None:
        """Free the context, then the model. Harmless when called again."""
        self._rows = {}
        self._model.close()
