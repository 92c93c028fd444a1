"""The seam between the scheduler and llama.cpp. `llama.LlamaBackend` fills it; tests fill it with a fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from ollama_jupyter.engine.sampling import SamplerStep


@dataclass(slots=True)
class Span:
    """Consecutive tokens of one sequence in a batch. With `logits`, the last one's logits are wanted."""

    seq: int
    start: int  # position of the first token
    tokens: Sequence[int]
    logits: bool


class Outcome(Enum):
    OK = "ok"
    NO_ROOM = "no room"  # no free KV cells: nothing was decoded
    ABORTED = "aborted"  # nothing was decoded


class Measure(Protocol):
    """The natural logarithms of all tokens' probabilities, as the model gives them: before penalties, temperature and
    masks."""

    def of(self, token: int) -> float: ...

    def top(self, count: int) -> list[tuple[int, float]]:
        """The likeliest tokens, the best first."""


class Backend(Protocol):
    """One context over one model. Not thread-safe: one thread makes every call."""

    n_batch: int  # tokens that one decode takes at most
    n_seq_max: int
    can_shift: bool  # positions in the cache may be moved
    attention_window: int  # tokens that a sliding window reaches back, 0 without one
    can_copy: bool  # a part of a sequence may be copied or removed: plain attention, no recurrent state

    def decode(self, spans: Sequence[Span]) -> Outcome:
        """Run the model over `spans`. Raises EngineError on a fatal error."""

    def sampler(self, steps: Sequence[SamplerStep], history: Sequence[int]) -> Any:
        """A sampler chain, fed with `history` for its penalties."""

    def free_sampler(self, sampler: Any) -> None: ...

    def sample(self, sampler: Any, index: int, mask: bytes | None = None) -> int:
        """A token from the logits of `spans[index]` of the last decode, one that `mask` has a bit for."""

    def accept(self, sampler: Any, token: int) -> None:
        """Tell a sampler of a token that it did not draw."""

    def measure(self, index: int) -> Measure:
        """The log probabilities of `spans[index]` of the last decode."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token; control tokens have none unless `special` asks for their text."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""

    def first_position(self, seq: int) -> int:
        """The earliest position that the cache still holds of a sequence, -1 if none."""

    def remove(self, seq: int, start: int, end: int = -1) -> bool:
        """Drop positions [start, end) of a sequence; -1 is its end. False where the memory cannot."""

    def copy(self, source: int, target: int, end: int) -> None:
        """Let `target` share positions [0, end) of `source`."""

    def move(self, seq: int, start: int, end: int, delta: int) -> None:
        """Add `delta` to the positions [start, end) of a sequence."""
