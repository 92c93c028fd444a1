"""Which slot a new prompt gets: the one that already holds the longest beginning of it."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from ollama_jupyter.engine.sequence import Slot

MIN_COPY = 16
"""Tokens below which sharing cells with another sequence is not worth it: shared cells cannot be moved later."""


def common_prefix(a: Seq[int], b: Seq[int]) -> int:
    """The number of leading tokens that `a` and `b` share."""
    limit = min(len(a), len(b))
    if list(a[:limit]) == list(b[:limit]):
        return limit
    low, high = 0, limit  # the comparison above failed: bisect on slices, which compare in C
    while high - low > 1:
        middle = (low + high) // 2
        if list(a[low:middle]) == list(b[low:middle]):
            low = middle
        else:
            high = middle
    return low


def choose_slot(slots: Seq[Slot], tokens: Seq[int], *, may_copy: bool) -> tuple[Slot, Slot | None, int]:
    """The free slot for a prompt, the slot to copy a beginning from (None: its own is best), and the shared length.

    One token at least is left to decode, because its logits are wanted. A slot whose content would be thrown away is
    chosen by last use. At least one slot must be free.
    """
    limit = len(tokens) - 1
    shared = {slot.id: min(common_prefix(slot.tokens, tokens), limit) for slot in slots}
    free = [slot for slot in slots if not slot.busy]
    best = max(free, key=lambda slot: (shared[slot.id], -slot.used))
    donor = max(slots, key=lambda slot: shared[slot.id])
    # Taking over a slot throws away what it holds behind the shared part. If that is most of it, copying keeps both.
    wasteful = len(best.tokens) > 2 * shared[best.id]
    if may_copy and shared[donor.id] >= MIN_COPY and (shared[donor.id] > shared[best.id] or wasteful):
        target = min((slot for slot in free if slot is not donor), key=lambda slot: slot.used, default=None)
        if target is not None:
            return target, donor, shared[donor.id]
    return best, None, shared[best.id]
