"""What goes into the next batch.

Chunked prefill (Agrawal et al., Sarathi, 2023): each step decodes one token of every running sequence, and the room
that is left carries a chunk of the prompts that are still being read. While others decode, the chunk is kept so small
that a step stays near `STEP_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

from ollama_jupyter.engine.backend import Span
from ollama_jupyter.engine.sequence import Sequence

STEP_SECONDS = 0.1
"""What a step should take while a prompt is read beside running sequences: their pause between two tokens."""

MIN_CHUNK = 16

Plan = list[tuple[Sequence, Span]]


class Planner:
    """Batches of at most `n_batch` tokens. `took` tells it how long one was, and it learns from that."""

    def __init__(self, n_batch: int) -> None:
        self._n_batch = n_batch
        self._chunk = float(min(64, n_batch))

    def plan(self, active: Seq[Sequence]) -> Plan:
        """One token of each decoding sequence, then chunks of the prompts, shared out evenly."""
        decoding = [s for s in active if not s.is_prefilling][: self._n_batch]
        prefilling = [s for s in active if s.is_prefilling]
        plan = [(s, _span(s, 1)) for s in decoding]
        room = self._n_batch - len(decoding)
        if decoding:
            room = min(room, int(self._chunk))
        for position, sequence in enumerate(prefilling):
            take = min(sequence.num_pending, max(room // (len(prefilling) - position), 1), room)
            if take:
                plan.append((sequence, _span(sequence, take)))
                room -= take
        return plan

    def took(self, plan: Plan, seconds: float) -> None:
        """Let the prefill chunk follow the machine: towards steps of STEP_SECONDS, by half the way at most."""
        mixed = any(s.is_prefilling for s, _ in plan) and any(not s.is_prefilling for s, _ in plan)
        if mixed and seconds > 0:
            factor = min(max(STEP_SECONDS / seconds, 0.5), 2.0)
            self._chunk = min(max(self._chunk * factor, MIN_CHUNK), self._n_batch)


def _span(sequence: Sequence, count: int) -> Span:
    start = len(sequence.slot.tokens)
    end = start + count
    return Span(sequence.slot.id, start, sequence.tokens[start:end], logits=end == len(sequence.tokens))
