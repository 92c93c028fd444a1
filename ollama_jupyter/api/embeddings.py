"""Embeddings and rankings, in Ollama's, OpenAI's and Jina's words."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Iterable
from typing import Any

from ollama_jupyter.api.fields import Fields, whole_text
from ollama_jupyter.api.ollama import keep_alive
from ollama_jupyter.api.wire import encode, nanoseconds
from ollama_jupyter.errors import BadRequest, ModelNotFound
from ollama_jupyter.messages import OPTIONS, Embeddings, EmbedRequest, Ranking, RerankRequest

_ENCODINGS = ("float", "base64")


# ---- Ollama -----------------------------------------------------------------------------------------------------


def embed_request(body: dict[str, Any]) -> EmbedRequest:
    """The body of `/api/embed`. No input, or an empty one, loads the model.

    Raises:
        BadRequest: for a wrong type or value.
        ModelNotFound: for an empty model name, as Ollama answers it here.
    """
    fields = Fields(body)
    inputs = () if fields.get("input") in ("", []) else _texts(fields, "input")
    request = EmbedRequest(
        model=fields.text("model"),
        inputs=inputs,
        truncate=fields.flag("truncate", True),
        dimensions=_dimensions(fields),
        keep_alive=keep_alive(fields),
        options=fields.known("options", OPTIONS),
    )
    if not request.model.strip():
        raise ModelNotFound("")
    return request


def embeddings_request(body: dict[str, Any]) -> EmbedRequest:
    """The body of the older `/api/embeddings`: one prompt. Raises BadRequest."""
    fields = Fields(body)
    prompt = fields.text("prompt")
    request = EmbedRequest(
        model=fields.text("model"),
        inputs=(prompt,) if prompt else (),
        truncate=False,
        normalize=False,
        keep_alive=keep_alive(fields),
        options=fields.known("options", OPTIONS),
    )
    if not request.model.strip():
        raise BadRequest("model is required")
    return request


def embed_answer(model: str, made: Embeddings) -> bytes:
    """The answer of `/api/embed`. `model` is echoed as the client sent it."""
    answer: dict[str, Any] = {"model": model, "embeddings": None}
    if made.vectors:
        answer["total_duration"] = nanoseconds(made.stats.total_duration)
        answer["load_duration"] = nanoseconds(made.stats.load_duration)
        answer["prompt_eval_count"] = made.stats.prompt_eval_count
    return _filled(answer, "embeddings", map(list, made.vectors))


def embeddings_answer(made: Embeddings) -> dict[str, Any]:
    """The answer of `/api/embeddings`."""
    return {"embedding": list(made.vectors[0]) if made.vectors else []}


# ---- OpenAI -----------------------------------------------------------------------------------------------------


def openai_request(body: dict[str, Any]) -> tuple[EmbedRequest, bool]:
    """The body of `/v1/embeddings`, and whether vectors are wanted in base64. Raises BadRequest."""
    fields = Fields(body)
    if fields.get("input") in (None, []):
        raise BadRequest("invalid input")
    inputs = _texts(fields, "input")
    encoding = fields.text("encoding_format") or "float"
    if encoding.lower() not in _ENCODINGS:
        raise BadRequest(f"Invalid value for 'encoding_format' = {encoding}. Supported values: {list(_ENCODINGS)}.")
    model = _model(fields)
    fields.get("user")
    return EmbedRequest(model, inputs, dimensions=_dimensions(fields)), encoding.lower() == "base64"


def openai_answer(model: str, made: Embeddings, as_base64: bool) -> bytes:
    """The answer of `/v1/embeddings`; in base64 little-endian float32, which is what the SDKs read."""
    write = _base64 if as_base64 else list
    data = ({"object": "embedding", "embedding": write(v), "index": index} for index, v in enumerate(made.vectors))
    count = sum(made.tokens)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return _filled({"object": "list", "data": None, "model": model, "usage": usage}, "data", data)


def _base64(vector: array[float]) -> str:
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()


# ---- Jina, Cohere -----------------------------------------------------------------------------------------------


def rerank_request(body: dict[str, Any]) -> tuple[RerankRequest, int, bool]:
    """The body of `/v1/rerank`; how many results are wanted, and whether with their documents. Raises BadRequest."""
    fields = Fields(body)
    model, query, documents = _model(fields), fields.text("query"), _documents(fields)
    if not query:
        raise BadRequest("query is required")
    if not documents:
        raise BadRequest("documents is required: an array of strings or of objects with a text")
    top = fields.integer("top_n")
    if top is not None and top < 1:
        raise BadRequest('field "top_n" must be at least 1')
    return RerankRequest(model, query, documents), top or len(documents), fields.flag("return_documents", False)


def _documents(fields: Fields) -> tuple[str, ...]:
    values = fields.array("documents")
    if any(isinstance(value, dict) for value in values):
        return tuple(entry.text("text") for entry in fields.objects("documents"))
    return fields.texts("documents")


def rerank_answer(request: RerankRequest, made: Ranking, top: int, with_documents: bool) -> dict[str, Any]:
    """The answer of `/v1/rerank`: the best first. Scores are what the model's head gives, on no fixed scale."""
    best = sorted(range(len(made.scores)), key=lambda index: -made.scores[index])[:top]
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": made.scores[index]} for index in best]
    if with_documents:
        results = [result | {"document": {"text": request.documents[result["index"]]}} for result in results]
    usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
    return {"model": request.model, "object": "list", "usage": usage, "results": results}


# ---- parts ------------------------------------------------------------------------------------------------------


def _filled(answer: dict[str, Any], name: str, items: Iterable[Any]) -> bytes:
    """`answer` as JSON, with `items` where its field `name` is null.

    Item by item, because a call of the encoder keeps all other threads waiting, and vectors can be millions of numbers.
    """
    before, behind = encode(answer).split(f'"{name}":null'.encode(), 1)  # no string holds it: its quotes are escaped
    return b"".join((before, f'"{name}":['.encode(), b",".join(map(encode, items)), b"]", behind))


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return (whole_text(value),)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest("invalid input type")
    return fields.texts(name)


def _dimensions(fields: Fields) -> int:
    value = fields.integer("dimensions") or 0
    if value < 0:
        raise BadRequest('field "dimensions" must not be negative')
    return value


def _model(fields: Fields) -> str:
    model = fields.text("model")
    if not model.strip():
        raise BadRequest("model is required")
    return model
