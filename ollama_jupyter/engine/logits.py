"""One row of logits: its log probabilities, and a draw among the tokens that a grammar allows."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llama_cpp import llama_cpp as C
from numpy.typing import NDArray

from ollama_jupyter.errors import EngineError

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data


class LogProbabilities:
    """The natural logarithm of the softmax of a row of logits, float32 of vocabulary length."""

    def __init__(self, row: NDArray[np.float32]) -> None:
        exact = row.astype(np.float64)
        exact -= exact.max()
        self._values = exact - np.log(np.exp(exact).sum())

    def of(self, token: int) -> float:
        return float(self._values[token])

    def top(self, count: int) -> list[tuple[int, float]]:
        """The likeliest tokens, the best first."""
        count = min(count, len(self._values))
        if not count:
            return []
        best = np.argpartition(-self._values, count - 1)[:count]
        best = best[np.argsort(-self._values[best], kind="stable")]
        return [(int(token), float(self._values[token])) for token in best]


def draw(sampler: Any, row: NDArray[np.float32], mask: bytes) -> int:
    """A token of those that `mask` has a bit for, drawn by a sampler chain, which is told of it.

    The chain gets these candidates only: forbidden ones of probability 0 would make entropies NaN.

    Raises:
        EngineError: the mask allows nothing.
    """
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[: len(row)]
    allowed = np.flatnonzero(bits)
    if not len(allowed):
        raise EngineError("the grammar allows no token here")
    candidates = np.zeros(len(allowed), _CANDIDATE)
    candidates["id"], candidates["logit"] = allowed, row[allowed]
    array = C.llama_token_data_array(
        data=candidates.ctypes.data_as(ctypes.POINTER(C.llama_token_data)),
        size=len(candidates),
        selected=-1,
        sorted=False,
    )
    C.llama_sampler_apply(sampler, ctypes.byref(array))
    if not 0 <= array.selected < array.size:
        raise EngineError("the sampler chose no token")
    token = int(array.data[array.selected].id)
    C.llama_sampler_accept(sampler, token)
    return token
