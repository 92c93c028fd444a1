"""The state of one answer in the engine, and of one slot of the KV cache: plain counters on plain objects."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.engine.constrain import Matcher
from ollama_jupyter.engine.detokenize import TextStream
from ollama_jupyter.engine.events import Submit
from ollama_jupyter.messages import TokenLogprob


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


@dataclass(slots=True, eq=False)
class Sequence:
    """An answer that has a slot. `tokens` is the prompt and what was sampled; `slot.tokens` trails behind it.

    `choice` is which of the request's `n` answers it is. `measured` are log probabilities whose text is still held
    back, each with the number of characters at which it ends.
    """

    request: Submit
    choice: int
    slot: Slot
    sampler: Any
    stream: TextStream
    tokens: list[int]
    num_cached: int
    budget: int  # tokens that may be sampled
    started: float
    matcher: Matcher | None = None
    num_sampled: int = 0
    prompt_seconds: float = 0.0
    intact: int | None = None  # after a shift: the tokens of the cache that never saw what is gone
    first_token_at: float = 0.0
    sampled: list[int] = field(default_factory=list)
    measured: deque[tuple[int, TokenLogprob]] = field(default_factory=deque)

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

    @property
    def num_left(self) -> int:
        """Tokens that may still be sampled."""
        left = self.budget - self.num_sampled
        return left if self.request.shift else min(left, self.request.num_ctx - len(self.tokens) + 1)

    def add(self, token: int) -> None:
        """Count a token of the answer."""
        self.num_sampled += 1
        self.sampled.append(token)

    def take_measured(self, *, final: bool = False) -> tuple[TokenLogprob, ...]:
        """The log probabilities of the tokens whose text is out; at the end those of all but a stop string's."""
        taken = []
        while self.measured and (self.measured[0][0] <= self.stream.released or (final and not self.stream.stopped)):
            taken.append(self.measured.popleft()[1])
        return tuple(taken)
