"""What goes into the engine's thread and what comes out: plain, picklable values.

Every `Submit` is answered by any number of `Text`, and by one `Finished` for each of its `n` answers or exactly one
`Failed`; every `Embed` by one `Embedded` or `Failed`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from ollama_jupyter.engine.constrain import Constraint
from ollama_jupyter.messages import Options, TokenLogprob


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
    embeds: bool = False  # for vectors of texts, not for generation


@dataclass(frozen=True, slots=True)
class Submit:
    """A prompt to continue, `n` times. `num_ctx` is this request's own window, at most the loaded one.

    `logprobs` None asks for none, a number for those of each token and of that many likeliest ones. `spelled` are the
    control tokens that come out as their text, which is otherwise nothing.
    """

    id: int
    tokens: tuple[int, ...]
    options: Options
    num_ctx: int
    shift: bool = True
    n: int = 1
    logprobs: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    constraint: Constraint | None = None
    spelled: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Embed:
    """Texts to turn into vectors, as tokens, each at most one batch long."""

    id: int
    inputs: tuple[tuple[int, ...], ...]


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
    """Decoded text: whole characters, stop strings already taken out. `choice` is which of the `n` answers it is of.

    `logprobs` are of the tokens that were sampled since the last one: with them, `text` may be empty.
    """

    id: int
    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


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
    choice: int = 0
    stop_sequence: str = ""  # the stop string that was met


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector for each input, in order. Of a rank model, the score is its only element."""

    id: int
    vectors: tuple[array[float], ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended otherwise: canceled, or an error with its text; `refused` where the request is at fault."""

    id: int
    message: str
    canceled: bool = False
    refused: bool = False


Command = Submit | Embed | Cancel | Stop
Event = Ready | LoadFailed | Text | Finished | Embedded | Failed | Ended
