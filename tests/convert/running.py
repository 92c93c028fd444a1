"""Runs what was converted, by llama-cpp-python's own class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import Llama

from ollama_jupyter.convert import convert_model

from .reference import Array


def convert(folder: Path, into: Path | None = None) -> Path:
    target = (into or folder) / "converted.gguf"
    convert_model(folder, target, lambda completed, total: None)
    return target


@contextmanager
def loaded(path: Path, **settings: Any) -> Iterator[Llama]:
    model = Llama(str(path), n_ctx=256, n_batch=256, n_threads=1, verbose=False, **settings)
    try:
        yield model
    finally:
        model.close()


def logits(path: Path, tokens: list[int], **settings: Any) -> Array:
    """The logits of each position."""
    with loaded(path, logits_all=True, **settings) as model:
        model.eval(tokens)
        return np.array(model.scores[: len(tokens)])


def same_logits(got: Array, wanted: Array, tolerance: float = 0.02) -> None:
    """Fail unless all logits differ by less than `tolerance` of their spread, and the best token is the same."""
    worst = float(np.abs(got - wanted).max() / wanted.std())
    assert worst < tolerance, f"off by {worst:.4f} of the logits' spread"
    top = np.sort(wanted, axis=-1)
    clear = top[:, -1] - top[:, -2] > 2 * tolerance * wanted.std()
    assert clear.sum() > len(wanted) // 3
    assert (got.argmax(-1) == wanted.argmax(-1))[clear].all()
