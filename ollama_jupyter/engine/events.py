"""What goes into the engine's thread and what comes out: plain, picklable values.

Every `Submit` is answered by any number of `Text` and exactly one `Finished` or `Failed`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ollama_jupyter.messages import Options


@dataclass(frozen=True, slots=True)
class EngineParams:
    """How to load a model: everything whose change needs a reload.

    `num_ctx` is the window of one sequence in tokens, `num_parallel` the number of sequences; the KV cache holds
    num_ctx * num_parallel cells that the sequences share. `threads` 0 follows the machine's load.
    """

    path: str
    num_ctx: int
    num_parallel: int
    num_batch: int = 512
    num_gpu: int = -1
    main_gpu: int | None = None
    use_mmap: bool | None = None
    threads: int = 0
    flash_attention: bool | None = None
    kv_cache_type: str = ""
    adapters: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()  # all files in order, where `path` is the first of several


@dataclass(frozen=True, slots=True)
class Submit:
    """A prompt to continue. `num_ctx` is this request's own window, at most the loaded one."""

    id: int
    tokens: tuple[int, ...]
    options: Options
    num_ctx: int
    shift: bool = True


@dataclass(frozen=True, slots=True)
class Cancel:
    id: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the thread; open requests fail with `reason`. Without `free` the model stays: somebody still reads it."""

    reason: str
    free: bool = True


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded. Sizes in bytes, as far as llama.cpp tells them."""

    size: int
    size_vram: int


@dataclass(frozen=True, slots=True)
class LoadFailed:
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The thread is over; nothing follows."""


@dataclass(frozen=True, slots=True)
class Text:
    """Decoded text: whole characters, stop strings already taken out."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The request ended by itself. Durations in seconds; `tokens` are the sampled ones, the end token included."""

    id: int
    reason: str  # "stop" or "length"
    tokens: tuple[int, ...]
    prompt_tokens: int
    cached_tokens: int
    prompt_seconds: float
    eval_seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended otherwise: canceled, or an error with its text."""

    id: int
    message: str
    canceled: bool = False


Command = Submit | Cancel | Stop
Event = Ready | LoadFailed | Text | Finished | Failed | Ended
