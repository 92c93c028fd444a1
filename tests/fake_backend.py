"""A Backend without a model: it keeps what each sequence's cache would hold, and "predicts" from exactly that.

The next token is a function of the whole cached sequence, so any mistake in what the scheduler caches, copies, cuts or
shifts changes the answer. Real llama.cpp is driven in test_llama.py and test_end_to_end.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ollama_jupyter.engine.backend import Outcome, Span
from ollama_jupyter.engine.sampling import SamplerStep
from ollama_jupyter.errors import EngineError

END = 0
VOCAB = 97
CONTROL = 96
"""A token without text, as those that mark turns are."""


def predict(tokens: Sequence[int]) -> int:
    """Never END by itself, and different for different histories."""
    state = 7
    for token in tokens:
        state = (state * 31 + token + 1) % 1_000_003
    return 1 + state % (VOCAB - 1)


class FakeMeasure:
    """The predicted token has half of the probability, the next ones half of the rest each."""

    def __init__(self, token: int) -> None:
        self._token = token

    def of(self, token: int) -> float:
        return math.log(0.5) * ((token - self._token) % VOCAB + 1)

    def top(self, count: int) -> list[tuple[int, float]]:
        tokens = [(self._token + i) % VOCAB for i in range(count)]
        return [(token, self.of(token)) for token in tokens]


class FakeBackend:
    """Cells are (position, token) by sequence. `script` maps a decode's number to an outcome or an error to raise."""

    def __init__(self, *, n_batch: int = 64, n_seq_max: int = 4, can_shift: bool = True, can_copy: bool = True) -> None:
        self.n_batch, self.n_seq_max = n_batch, n_seq_max
        self.can_shift, self.can_copy = can_shift, can_copy
        self.attention_window = 0
        self.given_away: dict[int, int] = {}  # sequence -> first position that its cache still holds
        self.cells: list[list[int]] = [[] for _ in range(n_seq_max)]
        self.batches: list[list[Span]] = []
        self.script: dict[int, Outcome | str] = {}
        self.ends_after: int | None = None
        self.samplers = 0
        self._logits: dict[int, int] = {}

    def decode(self, spans: Sequence[Span]) -> Outcome:
        assert 0 < sum(len(s.tokens) for s in spans) <= self.n_batch
        assert len({s.seq for s in spans}) == len(spans)
        self.batches.append([Span(s.seq, s.start, tuple(s.tokens), s.logits) for s in spans])
        told = self.script.get(len(self.batches) - 1, Outcome.OK)
        if isinstance(told, str):
            raise EngineError(told)
        if told is not Outcome.OK:
            return told
        self._logits = {}
        for index, span in enumerate(spans):
            assert span.start == len(self.cells[span.seq]), "a gap or an overlap in the positions"
            self.cells[span.seq].extend(span.tokens)
            if span.logits:
                self._logits[index] = predict(self.cells[span.seq])
        return Outcome.OK

    def sampler(self, steps: Sequence[SamplerStep], history: Sequence[int]) -> Any:
        self.samplers += 1
        return {"count": 0}

    def free_sampler(self, sampler: Any) -> None:
        self.samplers -= 1

    def sample(self, sampler: Any, index: int, mask: bytes | None = None) -> int:
        """The predicted token, or the next one that the mask allows."""
        sampler["count"] += 1
        if self.ends_after is not None and sampler["count"] > self.ends_after:
            return END
        token = self._logits[index]
        while mask is not None and not mask[token // 8] >> token % 8 & 1:
            token = (token + 1) % VOCAB
        return token

    def accept(self, sampler: Any, token: int) -> None:
        sampler["count"] += 1

    def measure(self, index: int) -> FakeMeasure:
        return FakeMeasure(self._logits[index])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        if token == CONTROL:
            return b"<control>" if special else b""
        return f"<{token}>".encode()

    def is_end(self, token: int) -> bool:
        return token == END

    def first_position(self, seq: int) -> int:
        return self.given_away.get(seq, 0) if self.cells[seq] else -1

    def remove(self, seq: int, start: int, end: int = -1) -> bool:
        whole = start == 0 and end == -1
        if not self.can_copy and not whole and start < len(self.cells[seq]):
            return False
        stop = len(self.cells[seq]) if end == -1 else end
        del self.cells[seq][start:stop]
        return True

    def copy(self, source: int, target: int, end: int) -> None:
        assert self.can_copy
        assert not self.cells[target]
        self.cells[target] = self.cells[source][:end]

    def move(self, seq: int, start: int, end: int, delta: int) -> None:
        """`remove` has closed the gap in the list already: what is left to check is that the caller asks for it."""
        assert self.can_shift
        assert end + delta == len(self.cells[seq])
