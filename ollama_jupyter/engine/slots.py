"""The sequences of the KV cache: which prompt gets which, and what stays in it for the next."""

from __future__ import annotations

from collections.abc import Iterator

from ollama_jupyter.engine.backend import Backend
from ollama_jupyter.engine.prefix import choose_slot
from ollama_jupyter.engine.sequence import Slot


class Slots:
    """All slots of a backend. A claimed one is busy until it is released; what it holds outlives the request."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._slots = [Slot(i) for i in range(backend.n_seq_max)]
        self._uses = 0

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    @property
    def has_free(self) -> bool:
        return not all(slot.busy for slot in self._slots)

    def claim(self, tokens: tuple[int, ...]) -> Slot:
        """A free slot whose cache holds the longest possible beginning of `tokens`; `slot.tokens` is that beginning."""
        slot, donor, shared = choose_slot(self._slots, tokens, may_copy=self._backend.can_copy)
        # A sliding window's cells are given away once nothing ahead can see them: going back behind them is no use.
        if self._backend.first_position((donor or slot).id) > max(0, shared - self._backend.attention_window):
            donor, shared = None, 0
        if donor is None:
            self.cut(slot, shared)
        else:
            self.cut(slot, 0)
            self._backend.copy(donor.id, slot.id, shared)
            slot.tokens = list(tokens[:shared])
            slot.shares = donor.shares = True
        self._uses += 1
        slot.busy, slot.used = True, self._uses
        return slot

    def cut(self, slot: Slot, length: int) -> None:
        """Keep the first `length` tokens of a slot; all go where the memory cannot drop a part (recurrent state)."""
        if length == len(slot.tokens):
            return
        if length and not self._backend.remove(slot.id, length):
            length = 0
        if not length:
            self._backend.remove(slot.id, 0)
            slot.shares = False
        del slot.tokens[length:]

    def shift(self, slot: Slot, keep: int, discard: int) -> bool:
        """Close the gap of `discard` tokens behind the first `keep`. False, and nothing is done, where cells stay."""
        held = len(slot.tokens)
        if not (self._backend.can_shift and self._backend.can_copy) or slot.shares or held <= keep + discard:
            return False
        self._backend.remove(slot.id, keep, keep + discard)
        self._backend.move(slot.id, keep + discard, held, -discard)
        del slot.tokens[keep : keep + discard]
        return True

    def drop_idle(self) -> bool:
        """Give up the cache of the idle slot that was used longest ago. False if no idle slot holds anything."""
        idle = [slot for slot in self._slots if not slot.busy and slot.tokens]
        if idle:
            self.cut(min(idle, key=lambda slot: slot.used), 0)
        return bool(idle)
