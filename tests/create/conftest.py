"""A library over an empty store, with the real trial load, and without the package of the embedded default."""

from __future__ import annotations

from pathlib import Path

import pytest
from creating import real_probe
from models import write_tiny_gguf

from ollama_jupyter.config import Settings
from ollama_jupyter.library import Library, embedded
from ollama_jupyter.store.models import Store


@pytest.fixture(autouse=True)
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "package_folders", tuple)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def library(models: Path) -> Library:
    return Library(Store(models), Settings(models=models), real_probe)


@pytest.fixture
def tiny(tmp_path: Path) -> bytes:
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
