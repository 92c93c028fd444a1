"""Answers are written vector by vector, and are the JSON that they would be if written at once."""

from __future__ import annotations

import json
from array import array

from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.api.embeddings import embed_answer, openai_answer
from ollama_jupyter.messages import Embeddings

VECTORS = st.lists(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=3), max_size=3)
NAMES = st.text(max_size=9) | st.sampled_from(['"data":null', '\\"embeddings":null', "</script>"])


@given(NAMES, VECTORS)
def test_vectors_in_the_words_of_ollama(model: str, vectors: list[list[float]]) -> None:
    answer = json.loads(embed_answer(model, Embeddings(tuple(array("f", vector) for vector in vectors))))
    assert answer["model"] == model
    assert answer["embeddings"] == vectors


@given(NAMES, VECTORS)
def test_vectors_in_the_words_of_openai(model: str, vectors: list[list[float]]) -> None:
    made = Embeddings(tuple(array("f", vector) for vector in vectors), tuple(map(len, vectors)))
    answer = json.loads(openai_answer(model, made, as_base64=False))
    assert [entry["embedding"] for entry in answer["data"]] == vectors
    assert answer["model"] == model
    assert answer["usage"]["prompt_tokens"] == sum(map(len, vectors))
