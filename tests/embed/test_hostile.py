"""Models whose way of pooling would end the server, or would give scores that mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import httpx
import ollama
import pytest
from doors import Door
from models import write_tiny_gguf

from ollama_jupyter.engine.probe import Prober
from ollama_jupyter.errors import ModelLoadError

from .conftest import RANKER, add, client, create
from .tiny_bert import write_tiny_bert

LABELS = [f"label {number}" for number in range(100)]
ABORTING: dict[str, Callable[[Path], Path]] = {
    "unknown": lambda path: write_tiny_gguf(path, metadata={"llama.pooling_type": 7}),
    "labels": lambda path: write_tiny_bert(path, gguf.PoolingType.RANK, head=False, labels=LABELS),
}


def post(door: Door, path: str, model: str) -> httpx.Response:
    body = {"model": model, "input": "a", "prompt": "a", "query": "a", "documents": ["b"]}
    return httpx.post(door.url + path, json=body, timeout=120)


@pytest.mark.parametrize("name", ABORTING)
async def test_what_ends_llama_cpp_is_tried_in_a_child(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelLoadError, match="SIGABRT"):
        await Prober(tmp_path / "verdicts", 60).check("a" * 64, ABORTING[name](tmp_path / "model.gguf"))


@pytest.mark.parametrize("name", ABORTING)
def test_what_ends_llama_cpp_is_not_created(door: Door, tmp_path: Path, name: str) -> None:
    with client(door) as made, pytest.raises(ollama.ResponseError, match="the model is unusable"):
        add(made, name, ABORTING[name](tmp_path / "model.gguf"))
    assert post(door, "/v1/rerank", RANKER).status_code == 200


def test_a_ranker_without_a_head_does_not_rank(door: Door, tmp_path: Path) -> None:
    create(door, "headless", write_tiny_bert(tmp_path / "headless.gguf", gguf.PoolingType.RANK, head=False))
    answer = post(door, "/v1/rerank", "headless")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == '"headless" does not support reranking'


@pytest.mark.parametrize("pooling", [gguf.PoolingType.NONE, gguf.PoolingType.RANK])
def test_what_makes_no_vectors_does_not_embed(door: Door, tmp_path: Path, pooling: gguf.PoolingType) -> None:
    name = f"no-vectors-{pooling}"
    create(door, name, write_tiny_bert(tmp_path / "no-vectors.gguf", pooling))
    answer = post(door, "/api/embed", name)
    assert answer.status_code == 501
    assert f'"{name}" does not support embeddings' in answer.json()["error"]
