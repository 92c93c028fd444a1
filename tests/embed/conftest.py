"""A server with all-MiniLM, imported from its safetensors, and with a reranker of random weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import gguf
import ollama
import pytest
from convert.conftest import all_minilm  # noqa: F401  a fixture
from doors import Door, serve

from ollama_jupyter.convert import convert_model

from .tiny_bert import write_tiny_bert

MINILM, RANKER = "all-minilm", "ranker"


@pytest.fixture(scope="session")
def minilm_gguf(all_minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    path = tmp_path_factory.mktemp("minilm") / "all-minilm.gguf"
    convert_model(all_minilm, path, lambda completed, total: None)
    return path


@pytest.fixture(scope="session")
def ranker_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("ranker") / "ranker.gguf", gguf.PoolingType.RANK)


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory, minilm_gguf: Path, ranker_gguf: Path) -> Iterator[Door]:
    with serve(tmp_path_factory.mktemp("embed") / "models") as found:
        create(found, MINILM, minilm_gguf)
        create(found, RANKER, ranker_gguf)
        yield found


@contextlib.contextmanager
def client(door: Door) -> Iterator[ollama.Client]:
    made = ollama.Client(door.url)
    try:
        yield made
    finally:
        made._client.close()


def add(made: ollama.Client, name: str, path: Path) -> None:
    made.create(name, files={path.name: made.create_blob(path)})


def create(door: Door, name: str, path: Path) -> None:
    with client(door) as made:
        add(made, name, path)
