"""A misbehaving registry, an empty store, and short patience."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from registry.misbehaving import Registry, serving
from registry.pulling import LICENSE, PIECE, WEIGHTS

from ollama_jupyter.registry import patience, plan, wire
from ollama_jupyter.store.models import Store


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces, short patience."""
    monkeypatch.setattr(plan, "SMALLEST", PIECE)
    monkeypatch.setattr(plan, "LARGEST", PIECE)
    monkeypatch.setattr(patience, "LONGEST_S", 0.01)
    monkeypatch.setattr(wire, "STALL_SECONDS", 10.0)


@pytest.fixture
def registry(quick: None) -> Iterator[Registry]:
    with serving(Registry(WEIGHTS, LICENSE)) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "sentinel").write_text("still here")
    return Store(tmp_path / "models")
