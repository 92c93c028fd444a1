"""The state of one request in the engine, and of one slot of the KV cache: plain counters on plain objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.engine.detokenize import TextStream
from ollama_jupyter.engine.events import Submit


@dataclass(slots=True)
class Slot:
    """A sequence of the KV cache. `tokens` are those whose keys and values it holds; they outlive the request.

    `shares` says that some cells may belong to another sequence too, so their positions must not be moved.
    `used` orders the slots by last use.
    """

    id: int
    tokens: list[int] = field(default_factory=list)
    shares: bool = False
    used: int = 0
    busy: bool = False


@dataclass(slots=True)
class Sequence:
    """A request that has a slot. `tokens` is the prompt and what was sampled; `slot.tokens` trails behind it."""

    request: Submit
    slot: Slot
    sampler: Any
    stream: TextStream
    tokens: list[int]
    num_cached: int
    budget: int  # tokens that may be sampled
    started: float
    num_sampled: int = 0
    prompt_seconds: float = 0.0
    intact: int | None = None  # after a shift: the tokens of the cache that never saw what is gone
    first_token_at: float = 0.0
    sampled: list[int] = field(default_factory=list)

    @property
    def id(self) -> int:
        return self.request.id

    @property
    def num_pending(self) -> int:
        """Tokens that are known but not in the cache yet. 1 when decoding, more while prefilling."""
        return len(self.tokens) - len(self.slot.tokens)

    @property
    def is_prefilling(self) -> bool:
        return self.num_sampled == 0 or self.num_pending > 1
