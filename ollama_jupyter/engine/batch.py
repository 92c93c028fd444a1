"""The C arrays of a batch."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from llama_cpp import llama_cpp as C

from ollama_jupyter.engine.backend import Span


class BatchArrays:
    """The C arrays of a batch, allocated once and filled for each decode."""

    def __init__(self, n_batch: int, n_seq_max: int) -> None:
        ids = [(C.llama_seq_id * 1)(seq) for seq in range(n_seq_max)]
        self._seq_ids = [ctypes.cast(one, ctypes.POINTER(C.llama_seq_id)) for one in ids]
        self._keep_alive = ids
        self._token = (C.llama_token * n_batch)()
        self._pos = (C.llama_pos * n_batch)()
        self._n_seq = (ctypes.c_int32 * n_batch)(*[1] * n_batch)
        self._seq = (ctypes.POINTER(C.llama_seq_id) * n_batch)()
        self._logits = (ctypes.c_int8 * n_batch)()
        self.struct = C.llama_batch(
            n_tokens=0,
            token=ctypes.cast(self._token, ctypes.POINTER(C.llama_token)),
            embd=None,
            pos=ctypes.cast(self._pos, ctypes.POINTER(C.llama_pos)),
            n_seq_id=ctypes.cast(self._n_seq, ctypes.POINTER(ctypes.c_int32)),
            seq_id=ctypes.cast(self._seq, ctypes.POINTER(ctypes.POINTER(C.llama_seq_id))),
            logits=ctypes.cast(self._logits, ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, spans: Sequence[Span], *, every: bool = False) -> dict[int, int]:
        """Lay the spans out one after another; for each span with logits, the index of its last token.

        `every` asks for the outputs of all tokens, which is what pooling is over.
        """
        rows, at = {}, 0
        for index, span in enumerate(spans):
            end = at + len(span.tokens)
            self._token[at:end] = list(span.tokens)
            self._pos[at:end] = list(range(span.start, span.start + len(span.tokens)))
            self._seq[at:end] = [self._seq_ids[span.seq]] * len(span.tokens)
            self._logits[at:end] = [int(every)] * len(span.tokens)
            if span.logits:
                self._logits[end - 1] = 1
                rows[index] = end - 1
            at = end
        self.struct.n_tokens = at
        return rows
