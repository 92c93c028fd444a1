"""llama.cpp, typed and checked: with `vocab.py` the only file that calls C.

Whatever could abort the process is refused here first, as an EngineError: batches over `n_batch`, sampling where no
logits were asked for, sequence or token ids out of range, a context smaller than its number of sequences. Everything
here is for one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

# An abort in ggml would otherwise fork a debugger for a backtrace, which takes seconds of a dying process.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

from llama_cpp import llama_cpp as C

from ollama_jupyter.engine.backend import Outcome, Span
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.sampling import SamplerStep
from ollama_jupyter.engine.vocab import Vocab
from ollama_jupyter.errors import EngineError, ModelLoadError

log = logging.getLogger("ollama_jupyter.engine")

_CACHE_TYPES = {"": 1, "f16": 1, "f32": 0, "bf16": 30, "q8_0": 8, "q4_0": 2}  # ggml_type numbers
_LEVELS = {2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}


# ---- the library ------------------------------------------------------------------------------------------------


def _forward_log(level: int, text: bytes, _: Any) -> None:
    """llama.cpp's own chatter: its warnings are for its developers, so all goes to the debug log."""
    if log.isEnabledFor(logging.DEBUG) and level in _LEVELS:
        log.debug("llama.cpp: %s", text.decode("utf-8", "replace").rstrip())


_log_callback = C.llama_log_callback(_forward_log)  # kept: ctypes callbacks must outlive their use
_ready = False


def init_library() -> None:
    """Start llama.cpp once per process and route its log."""
    global _ready
    if not _ready:
        C.llama_log_set(_log_callback, ctypes.c_void_p(0))
        C.llama_backend_init()
        _ready = True


def library_version() -> str:
    """llama-cpp-python's version and the CPU features that it was built with: what a load verdict depends on."""
    import llama_cpp

    return f"{llama_cpp.__version__} {C.llama_print_system_info().decode('utf-8', 'replace')}"


def supports_offload() -> bool:
    """Whether this build of llama.cpp can put layers on a GPU."""
    return bool(C.llama_supports_gpu_offload())


# ---- abort ------------------------------------------------------------------------------------------------------


class AbortFlag:
    """A flag that llama.cpp reads between two nodes of its graph; `set` from any thread stops a decode.

    The callback is the C library's `strlen` over a one-letter buffer: "" is 0, false, and "x" is 1, true. A Python
    callback would need the interpreter's lock several hundred times per token.
    """

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        libc = ctypes.CDLL("msvcrt" if os.name == "nt" else None)
        self.callback = ctypes.cast(libc.strlen, C.ggml_abort_callback)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self) -> None:
        self._buffer.raw = b"x\0"

    def clear(self) -> None:
        self._buffer.raw = b"\0\0"


# ---- model and context ------------------------------------------------------------------------------------------


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
        init_library()
        self._abort = abort or AbortFlag()
        self._model: Any = None
        self._context: Any = None
        self._adapters: list[Any] = []
        try:
            self._load(params, progress)
        except BaseException:
            self.close()
            raise
        self.vocab = Vocab(self._model)
        self.n_batch = int(C.llama_n_batch(self._context))  # llama.cpp may have cut it to the context
        self.n_seq_max = params.num_parallel
        self._memory = C.llama_get_memory(self._context)
        self.attention_window = int(C.llama_model_n_swa(self._model))
        stateful = C.llama_model_is_recurrent(self._model) or C.llama_model_is_hybrid(self._model)
        self.can_copy = not stateful
        # Cells behind a sliding window are given away, so positions cannot simply be closed up there.
        self.can_shift = not self.attention_window and bool(C.llama_memory_can_shift(self._memory))
        self._batch = _BatchArrays(self.n_batch, params.num_parallel)
        self._rows: dict[int, int] = {}  # span of the last batch -> index of its logits

    def _load(self, params: EngineParams, progress: Callable[[float], bool] | None) -> None:
        model_params = C.llama_model_default_params()
        model_params.n_gpu_layers = params.num_gpu
        if params.main_gpu is not None:
            model_params.main_gpu = params.main_gpu
        if params.use_mmap is not None:
            model_params.load_mode = C.LLAMA_LOAD_MODE_MMAP if params.use_mmap else C.LLAMA_LOAD_MODE_NONE
        if progress is not None:
            # Kept on the instance: ctypes callbacks must outlive their use.
            self._progress = C.llama_progress_callback(lambda fraction, _: progress(fraction))
            model_params.progress_callback = self._progress
        self._model = _load_model(params, model_params)
        if not self._model:
            raise ModelLoadError("llama.cpp cannot load this model: its file is damaged or of an unknown kind")
        self._context = C.llama_init_from_model(self._model, self._context_params(params))
        if not self._context:
            raise ModelLoadError("llama.cpp cannot make a context for this model with these parameters")
        self._load_adapters(params.adapters)

    def _context_params(self, params: EngineParams) -> Any:
        cells = params.num_ctx * params.num_parallel
        longest = max(self.trained_ctx, 256)  # beyond it a mistaken number would only take memory, all there is
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
        for path in paths:
            adapter = C.llama_adapter_lora_init(self._model, os.fsencode(path))
            if not adapter:
                raise ModelLoadError("llama.cpp cannot load the model's adapter: it does not fit this model")
            self._adapters.append(adapter)
        if self._adapters:
            handles = (C.llama_adapter_lora_p_ctypes * len(self._adapters))(*self._adapters)
            scales = (ctypes.c_float * len(self._adapters))(*[1.0] * len(self._adapters))
            C.llama_set_adapters_lora(self._context, handles, len(self._adapters), scales)

    @property
    def size(self) -> int:
        """Bytes of the weights as llama.cpp holds them."""
        return int(C.llama_model_size(self._model))

    @property
    def trained_ctx(self) -> int:
        return int(C.llama_model_n_ctx_train(self._model))

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
            if not span.tokens or min(span.tokens) < 0 or max(span.tokens) >= self.vocab.size:
                raise EngineError("a token is not in the vocabulary")

    def sampler(self, steps: Sequence[SamplerStep], history: Sequence[int]) -> Any:
        chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        for step in steps:
            C.llama_sampler_chain_add(chain, self._make_sampler(step))
        for token in history:
            C.llama_sampler_accept(chain, token)
        return chain

    def _make_sampler(self, step: SamplerStep) -> Any:
        args = (self.vocab.size, *step.args) if step.name == "penalties" else step.args
        return getattr(C, f"llama_sampler_init_{step.name}")(*args)

    def free_sampler(self, sampler: Any) -> None:
        C.llama_sampler_free(sampler)

    def sample(self, sampler: Any, index: int) -> int:
        row = self._rows.get(index)
        if row is None:
            raise EngineError("no logits were computed for this row")
        return int(C.llama_sampler_sample(sampler, self._context, row))

    def piece(self, token: int) -> bytes:
        return self.vocab.piece(token)

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
        with contextlib.suppress(AttributeError):
            self._rows = {}
        if self._context:
            C.llama_free(self._context)
            self._context = None
        if self._model:
            C.llama_model_free(self._model)  # adapters go with their model
            self._model = None
            self._adapters = []


def _load_model(params: EngineParams, model_params: Any) -> Any:
    if not params.shards:
        return C.llama_model_load_from_file(os.fsencode(params.path), model_params)
    paths = (ctypes.c_char_p * len(params.shards))(*map(os.fsencode, params.shards))
    return C.llama_model_load_from_splits(paths, len(params.shards), model_params)


class _BatchArrays:
    """The C arrays of a batch, allocated once and filled for each decode."""

    def __init__(self, n_batch: int, n_seq_max: int) -> None:
        ids = [(C.llama_seq_id * 1)(seq) for seq in range(n_seq_max)]
        self._seq_ids = [ctypes.cast(one, ctypes.POINTER(C.llama_seq_id)) for one in ids]
        self._keep_alive = ids
        self._token = (C.llama_token * n_batch)()
        self._pos = (C.llama_pos * n_batch)()
        self._n_seq = (ctypes.c_int32 * n_batch)(*[1] * n_batch)
        self._seq = (ctypes.POINTER(C.llama_seq_id) * n_batch)()
        self._logits = (ctypes.c_int8 * n_batch)()
        self.struct = C.llama_batch(
            n_tokens=0,
            token=ctypes.cast(self._token, ctypes.POINTER(C.llama_token)),
            embd=None,
            pos=ctypes.cast(self._pos, ctypes.POINTER(C.llama_pos)),
            n_seq_id=ctypes.cast(self._n_seq, ctypes.POINTER(ctypes.c_int32)),
            seq_id=ctypes.cast(self._seq, ctypes.POINTER(ctypes.POINTER(C.llama_seq_id))),
            logits=ctypes.cast(self._logits, ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, spans: Sequence[Span]) -> dict[int, int]:
        """Lay the spans out one after another; for each span with logits, the index of its last token."""
        rows, at = {}, 0
        for index, span in enumerate(spans):
            end = at + len(span.tokens)
            self._token[at:end] = list(span.tokens)
            self._pos[at:end] = list(range(span.start, span.start + len(span.tokens)))
            self._seq[at:end] = [self._seq_ids[span.seq]] * len(span.tokens)
            self._logits[at:end] = [0] * len(span.tokens)
            if span.logits:
                self._logits[end - 1] = 1
                rows[index] = end - 1
            at = end
        self.struct.n_tokens = at
        return rows
