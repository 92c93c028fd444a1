"""Vectors and rankings through the routes, of a real model and of one whose scores can be told by hand."""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from convert.reference import bert
from doors import MODEL, Door
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from .conftest import MINILM, RANKER

TEXTS = [f"{subject} {verb} {thing}." for subject, verb, thing in itertools.product(
    ["A cat", "My neighbour", "The whole village", "Nobody that I know of"],
    ["watches", "has never heard of", "sings about", "is afraid of"],
    ["the sea", "a very old and quite broken bicycle", "rain", "tax law in 1923"],
)]  # fmt: skip


def post(door: Door, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(door.url + path, json=body, timeout=120)


def embed(door: Door, texts: list[str], **extras: Any) -> list[np.ndarray[Any, Any]]:
    answer = post(door, "/api/embed", {"model": MINILM, "input": texts, **extras})
    assert answer.status_code == 200, answer.text
    return [np.array(vector) for vector in answer.json()["embeddings"]]


@pytest.mark.parametrize("count", [1, 2, 16, 64])
def test_a_batch_gives_what_single_inputs_give_in_any_order(door: Door, count: int) -> None:
    texts = random.Random(count).sample(TEXTS, count)
    singles = [embed(door, [text])[0] for text in texts]
    for single, batched in zip(singles, embed(door, texts), strict=True):
        assert float(single @ batched) > 0.9999


def test_all_minilm_is_as_the_original(door: Door, all_minilm: Path) -> None:
    weights = {name: np.asarray(values) for name, values in load_file(all_minilm / "model.safetensors").items()}
    config = json.loads((all_minilm / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(all_minilm / "tokenizer.json"))
    tokenizer.no_padding()
    for text, vector in zip(TEXTS[:8], embed(door, TEXTS[:8]), strict=True):
        assert float(vector @ bert(weights, config, tokenizer.encode(text).ids)) > 0.999


def test_vectors_have_length_one_also_when_cut(door: Door) -> None:
    whole, cut = embed(door, ["rain"])[0], embed(door, ["rain"], dimensions=16)[0]
    assert len(whole) == 384
    assert len(cut) == 16
    assert np.allclose(cut, whole[:16] / np.linalg.norm(whole[:16]), atol=1e-6)
    assert math.isclose(float(np.linalg.norm(cut)), 1, abs_tol=1e-5)
    assert len(embed(door, ["rain"], dimensions=9999)[0]) == 384


@pytest.mark.parametrize("body", [{}, {"input": None}, {"input": ""}, {"input": []}], ids=str)
def test_without_input_the_model_is_loaded(door: Door, body: dict[str, Any]) -> None:
    answer = post(door, "/api/embed", {"model": MINILM, **body})
    assert answer.json() == {"model": MINILM, "embeddings": []}
    assert MINILM in httpx.get(door.url + "/api/ps").text


def test_an_empty_text_is_embedded(door: Door) -> None:
    assert len(embed(door, ["", "x"])) == 2


@pytest.mark.parametrize("value", [3, {"a": 1}, ["a", 2], [["a"]], True], ids=str)
def test_other_inputs_are_refused_before_the_model_is_looked_up(door: Door, value: Any) -> None:
    answer = post(door, "/api/embed", {"model": "nope", "input": value})
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid input type"})


def test_a_long_text_is_cut_or_refused(door: Door) -> None:
    long = "word " * 3000
    assert np.allclose(embed(door, [long])[0], embed(door, ["word " * 510])[0], atol=1e-4)
    answer = post(door, "/api/embed", {"model": MINILM, "input": long, "truncate": False})
    assert (answer.status_code, answer.json()) == (400, {"error": "the input length exceeds the context length"})
    answer = post(door, "/api/embed", {"model": MINILM, "input": "a b c d e f g h", "options": {"num_ctx": 6}})
    assert answer.json()["prompt_eval_count"] == 6


def test_the_older_route(door: Door) -> None:
    answer = post(door, "/api/embeddings", {"model": MINILM, "prompt": "rain"})
    assert list(answer.json()) == ["embedding"]
    assert np.allclose(answer.json()["embedding"], embed(door, ["rain"])[0], atol=1e-6)
    assert post(door, "/api/embeddings", {"model": MINILM, "prompt": ""}).json() == {"embedding": []}


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings", "/v1/embeddings"])
def test_a_model_that_generates_does_not_embed(door: Door, path: str) -> None:
    answer = post(door, path, {"model": MODEL, "input": "x", "prompt": "x"})
    assert answer.status_code == 501
    assert f'\\"{MODEL}\\" does not support embeddings' in answer.text


def test_vectors_in_base64_are_the_same(door: Door) -> None:
    body = {"model": MINILM, "input": ["rain", "sun"]}
    plain, coded = (post(door, "/v1/embeddings", body | {"encoding_format": e}).json() for e in ("float", "base64"))
    for one, other in zip(plain["data"], coded["data"], strict=True):
        assert np.array_equal(np.float32(one["embedding"]), np.frombuffer(_bytes(other["embedding"]), "<f4"))
    assert [entry["index"] for entry in plain["data"]] == [0, 1]
    assert plain["usage"] == {"prompt_tokens": 6, "total_tokens": 6}


def _bytes(text: str) -> bytes:
    import base64

    return base64.b64decode(text, validate=True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "invalid input"),
        ({"input": []}, "invalid input"),
        ({"input": [1, 2]}, "invalid input type"),
        ({"input": "x", "encoding_format": "hex"}, "Invalid value for 'encoding_format' = hex."),
        ({"input": "x", "dimensions": -1}, 'field "dimensions" must not be negative'),
    ],
)
def test_what_openai_clients_send_wrong(door: Door, body: dict[str, Any], message: str) -> None:
    answer = post(door, "/v1/embeddings", {"model": MINILM, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)


def test_documents_are_ranked(door: Door) -> None:
    documents = ["a b", "x y z", {"text": "q"}, "m n o p"]
    body = {"model": RANKER, "query": "a b", "documents": [{"text": d} if isinstance(d, str) else d for d in documents]}
    ranked = post(door, "/v1/rerank", body | {"return_documents": True}).json()
    scores = [result["relevance_score"] for result in ranked["results"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(result["index"] for result in ranked["results"]) == [0, 1, 2, 3]
    assert ranked["results"][0]["document"] == body["documents"][ranked["results"][0]["index"]]
    best = post(door, "/v1/rerank", body | {"top_n": 1}).json()["results"]
    assert [result["index"] for result in best] == [ranked["results"][0]["index"]]
    for result in ranked["results"]:  # alone, a document has the score that it has among others
        alone = post(door, "/v1/rerank", body | {"documents": [body["documents"][result["index"]]]}).json()["results"]
        assert math.isclose(alone[0]["relevance_score"], result["relevance_score"], abs_tol=1e-3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": RANKER, "documents": ["a"]}, "query is required"),
        ({"model": RANKER, "query": "a"}, "documents is required"),
        ({"model": RANKER, "query": "a", "documents": [1]}, 'field "documents" must be an array of strings'),
        ({"model": RANKER, "query": "a", "documents": ["b"], "top_n": 0}, 'field "top_n" must be at least 1'),
        ({"model": MINILM, "query": "a", "documents": ["b"]}, f'"{MINILM}" does not support reranking'),
    ],
)
def test_rankings_that_cannot_be(door: Door, body: dict[str, Any], message: str) -> None:
    answer = post(door, "/v1/rerank", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)
