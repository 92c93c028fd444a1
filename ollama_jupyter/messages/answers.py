"""What a model answers: chunks of text, vectors, scores, and what they cost."""

from __future__ import annotations

from array import array
from dataclasses import KW_ONLY, dataclass, field

from ollama_jupyter.messages.conversation import ToolCall


@dataclass(frozen=True, slots=True)
class Stats:
    """What a finished request cost. Durations in seconds, counts in tokens; cached prompt tokens count as prompt."""

    total_duration: float = 0.0
    load_duration: float = 0.0
    prompt_eval_count: int = 0
    prompt_eval_duration: float = 0.0
    eval_count: int = 0
    eval_duration: float = 0.0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Truncated:
    """What was cut from an over-long prompt: whole messages, and tokens (of the dropped messages, or of the text)."""

    messages: int
    tokens: int
    num_ctx: int


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability; `top` are the likeliest tokens, the best first."""

    token: str
    logprob: float
    bytes: bytes
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of an answer. The last has `done`, a reason (`stop`, `length`, `load`, `unload`) and the stats.

    `index` says which of `n` answers it belongs to: each has its own last chunk. `truncated` comes with the first and
    the last chunk. `tool_parse_error` says why a piece of `text` that began as a tool call is none.
    """

    text: str = ""
    _: KW_ONLY
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_parse_error: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    index: int = 0
    done: bool = False
    done_reason: str = ""
    stop_sequence: str = ""  # the stop string that ended it
    stats: Stats | None = None
    context: tuple[int, ...] = ()
    truncated: Truncated | None = None
    rendered: str | None = None  # the prompt after templating, for _debug_render_only
    image_count: int = 0  # images in that prompt

    @property
    def is_handshake(self) -> bool:
        """Load and unload answers, and rendered prompts, are one JSON object and never a stream."""
        return self.done_reason in ("load", "unload") or self.rendered is not None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A vector of float32 for each input, in order, and how many tokens each input had."""

    vectors: tuple[array[float], ...]
    tokens: tuple[int, ...] = ()
    stats: Stats = field(default_factory=Stats)


@dataclass(frozen=True, slots=True)
class Ranking:
    """A score for each document, in the order of the request: the higher, the better it fits."""

    scores: tuple[float, ...]
    tokens: int
    stats: Stats = field(default_factory=Stats)
