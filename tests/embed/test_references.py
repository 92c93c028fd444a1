"""Scores and vectors against others' arithmetic: a forward pass in numpy, llama-cpp-python's own class."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest
from convert.reference import bert_layers
from doors import Door
from llama_cpp import Llama
from models import WORDS, write_tiny_gguf

from .conftest import RANKER, create
from .tiny_bert import HEADS, LAYERS, TOKENS

CONFIG = {"layer_norm_eps": 1e-12, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS}
PLACES = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
DECODER = "last-token"


def weights(path: Path) -> dict[str, Any]:
    return {_name(tensor.name): np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}


def _name(name: str) -> str:
    """A tensor's name in Hugging Face's checkpoints; the head keeps the one that it has in the file."""
    part, _, kind = name.rpartition(".")
    if part.startswith("blk."):
        _, layer, part = part.split(".")
        return f"encoder.layer.{layer}.{PLACES[part]}.{kind}"
    return f"{PLACES.get(part, part)}.{kind}"


def score(known: dict[str, Any], query: str, document: str) -> float:
    """The head over the first position. Texts are letters between spaces: a token each."""
    first, second = ([TOKENS.index("\u2581" + letter) for letter in text.split()] for text in (query, document))
    tokens = [TOKENS.index("[CLS]"), *first, TOKENS.index("[SEP]"), *second]
    pooled = np.tanh(known["cls.weight"] @ bert_layers(known, CONFIG, tokens)[0] + known["cls.bias"])
    return float((known["cls.output.weight"] @ pooled + known["cls.output.bias"])[0])


def test_scores_are_those_of_the_head(door: Door, ranker_gguf: Path) -> None:
    known = weights(ranker_gguf)
    documents = ["a b", "x y z", "q", "m n o p", "a a a a"]
    body = {"model": RANKER, "query": "a b c", "documents": documents}
    results = httpx.post(f"{door.url}/v1/rerank", json=body, timeout=60).json()["results"]
    expected = [score(known, "a b c", document) for document in documents]
    assert [result["index"] for result in results] == sorted(range(len(documents)), key=lambda i: -expected[i])
    for result in results:
        assert math.isclose(result["relevance_score"], expected[result["index"]], abs_tol=5e-3)


@pytest.fixture(scope="module")
def decoder(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model whose last position is the vector, as Qwen3-Embedding is."""
    metadata = {"llama.pooling_type": int(gguf.PoolingType.LAST)}
    path = write_tiny_gguf(tmp_path_factory.mktemp("decoder") / "decoder.gguf", metadata=metadata)
    create(door, DECODER, path)
    return path


def embed(door: Door, texts: list[str]) -> Any:
    answer = httpx.post(f"{door.url}/api/embed", json={"model": DECODER, "input": texts}, timeout=60)
    return np.array(answer.json()["embeddings"])


@pytest.mark.parametrize("count", [1, 2, 16, 64])
def test_a_causal_model_embeds_a_batch_as_it_embeds_single_texts(door: Door, decoder: Path, count: int) -> None:
    chance = random.Random(count)
    texts = [" ".join(chance.choices(WORDS.split(), k=chance.randint(1, 20))) for _ in range(count)]
    batch = embed(door, texts)
    singles = np.concatenate([embed(door, [text]) for text in texts])
    assert ((batch * singles).sum(1) > 0.9999).all()


def test_a_causal_model_embeds_as_llama_cpp_python_does(door: Door, decoder: Path) -> None:
    texts = ["the of and", "to in", "is that it for was on are"]
    with_class = Llama(str(decoder), embedding=True, n_ctx=512, verbose=False)
    expected = np.array([with_class.embed(text, normalize=True) for text in texts])
    with_class.close()
    assert ((embed(door, texts) * expected).sum(1) > 0.9999).all()
