"""llama.cpp's library and a model in it. Contexts over it are `llama.py`'s and `embedding.py`'s."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable
from typing import Any

# An abort in ggml would otherwise fork a debugger for a backtrace, which takes seconds of a dying process.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

from llama_cpp import llama_cpp as C

from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.vocab import Vocab
from ollama_jupyter.errors import ModelLoadError

log = logging.getLogger("ollama_jupyter.engine")

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


# ---- a model ----------------------------------------------------------------------------------------------------


class LlamaModel:
    """A model in memory, and the context over it. `close` frees both. For one thread, but for `vocab`.

    Raises:
        ModelLoadError: llama.cpp refuses the file.
    """

    def __init__(self, params: EngineParams, progress: Callable[[float], bool] | None = None) -> None:
        init_library()
        self.context: Any = None
        self._params = C.llama_model_default_params()
        self._params.n_gpu_layers = params.num_gpu
        if params.main_gpu is not None:
            self._params.main_gpu = params.main_gpu
        if params.use_mmap is not None:
            self._params.load_mode = C.LLAMA_LOAD_MODE_MMAP if params.use_mmap else C.LLAMA_LOAD_MODE_NONE
        if progress is not None:
            # Kept on the instance: ctypes callbacks must outlive their use.
            self._progress = C.llama_progress_callback(lambda fraction, _: progress(fraction))
            self._params.progress_callback = self._progress
        self.handle: Any = _load(params, self._params)
        if not self.handle:
            raise ModelLoadError("llama.cpp cannot load this model: its file is damaged or of an unknown kind")
        self.vocab = Vocab(self.handle)

    @property
    def size(self) -> int:
        """Bytes of the weights as llama.cpp holds them."""
        return int(C.llama_model_size(self.handle))

    @property
    def trained_ctx(self) -> int:
        return int(C.llama_model_n_ctx_train(self.handle))

    def open(self, context_params: Any) -> None:
        """Make the context.

        Raises:
            ModelLoadError: llama.cpp refuses the parameters.
        """
        self.context = C.llama_init_from_model(self.handle, context_params)
        if not self.context:
            raise ModelLoadError("llama.cpp cannot make a context for this model with these parameters")

    def close(self) -> None:
        """Free the context, then the model with its adapters. Harmless when called again."""
        if self.context:
            C.llama_free(self.context)
            self.context = None
        if self.handle:
            C.llama_model_free(self.handle)
            self.handle = None


def _load(params: EngineParams, model_params: Any) -> Any:
    if not params.shards:
        return C.llama_model_load_from_file(os.fsencode(params.path), model_params)
    paths = (ctypes.c_char_p * len(params.shards))(*map(os.fsencode, params.shards))
    return C.llama_model_load_from_splits(paths, len(params.shards), model_params)
