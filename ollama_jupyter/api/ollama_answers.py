"""Ollama's answers: neutral values to the bodies of `/api/*`, in Ollama's key order, zero values left out as there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ollama_jupyter.api.wire import local_time, metadata, nanoseconds, utc_now
from ollama_jupyter.messages import (
    Chunk,
    Details,
    Message,
    ModelDescription,
    ModelSummary,
    Progress,
    RunningModel,
    Stats,
    Truncated,
)


def error(message: str) -> dict[str, Any]:
    return {"error": message}


# ---- generate and chat ------------------------------------------------------------------------------------------


def generate_chunk(model: str, chunk: Chunk) -> dict[str, Any]:
    """A line of `/api/generate`, or the whole answer. `model` is echoed as the client sent it."""
    answer: dict[str, Any] = {"model": model, "created_at": utc_now(), "response": chunk.text, "done": chunk.done}
    if chunk.done_reason:
        answer["done_reason"] = chunk.done_reason
    if chunk.context:
        answer["context"] = list(chunk.context)
    return answer | _metrics(chunk.stats) | _debug(chunk) | _truncated(chunk.truncated)


def chat_chunk(model: str, chunk: Chunk) -> dict[str, Any]:
    """A line of `/api/chat`, or the whole answer."""
    role = "" if chunk.rendered is not None else "assistant"
    answer: dict[str, Any] = {
        "model": model,
        "created_at": utc_now(),
        "message": {"role": role, "content": chunk.text},
        "done": chunk.done,
    }
    if chunk.done_reason:
        answer["done_reason"] = chunk.done_reason
    return answer | _debug(chunk) | _metrics(chunk.stats) | _truncated(chunk.truncated)


def _metrics(stats: Stats | None) -> dict[str, int]:
    if stats is None:
        return {}
    metrics = {
        "total_duration": nanoseconds(stats.total_duration),
        "load_duration": nanoseconds(stats.load_duration),
        "prompt_eval_count": stats.prompt_eval_count,
        "prompt_eval_duration": nanoseconds(stats.prompt_eval_duration),
        "eval_count": stats.eval_count,
        "eval_duration": nanoseconds(stats.eval_duration),
    }
    return {name: value for name, value in metrics.items() if value}


def _debug(chunk: Chunk) -> dict[str, Any]:
    return {} if chunk.rendered is None else {"_debug_info": {"rendered_template": chunk.rendered}}


def _truncated(cut: Truncated | None) -> dict[str, Any]:
    """Ours, not Ollama's: what was cut from an over-long prompt."""
    return {} if cut is None else {"truncated": truncated(cut)}


def truncated(cut: Truncated) -> dict[str, int]:
    return {"messages": cut.messages, "tokens": cut.tokens, "num_ctx": cut.num_ctx}


# ---- models -----------------------------------------------------------------------------------------------------


def _details(details: Details) -> dict[str, Any]:
    return {
        "parent_model": details.parent_model,
        "format": details.format,
        "family": details.family,
        "families": list(details.families) or None,
        "parameter_size": details.parameter_size,
        "quantization_level": details.quantization_level,
    }


def _lengths(details: Details) -> dict[str, int]:
    lengths = {"context_length": details.context_length, "embedding_length": details.embedding_length}
    return {name: value for name, value in lengths.items() if value}


def tags(models: Sequence[ModelSummary]) -> dict[str, Any]:
    return {"models": [_summary(model) for model in models]}


def _summary(model: ModelSummary) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "name": model.name,
        "model": model.name,
        "modified_at": local_time(model.modified_at),
        "size": model.size,
        "digest": model.digest,
        "details": _details(model.details) | _lengths(model.details),
    }
    if model.capabilities:
        answer["capabilities"] = list(model.capabilities)
    return answer


def ps(models: Sequence[RunningModel]) -> dict[str, Any]:
    return {"models": [_running(model) for model in models]}


def _running(model: RunningModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "size": model.size,
        "digest": model.digest,
        "details": _details(model.details),
        "expires_at": local_time(model.expires_at),
        "size_vram": model.size_vram,
        "context_length": model.context_length,
    }


def show(model: ModelDescription) -> dict[str, Any]:
    """`/api/show`. `model_info` is always an object: clients stumble over null."""
    optional: dict[str, Any] = {
        "license": model.license,
        "modelfile": model.modelfile,
        "parameters": model.parameters,
        "template": model.template,
        "system": model.system,
    }
    answer = {name: value for name, value in optional.items() if value}
    answer["details"] = _details(model.details)
    if model.messages:
        answer["messages"] = [_message(entry) for entry in model.messages]
    answer["model_info"] = metadata(dict(model.model_info))
    if model.projector_info:
        answer["projector_info"] = metadata(dict(model.projector_info))
    if model.tensors:
        answer["tensors"] = [{"name": t.name, "type": t.type, "shape": list(t.shape)} for t in model.tensors]
    if model.capabilities:
        answer["capabilities"] = list(model.capabilities)
    answer["modified_at"] = local_time(model.modified_at)
    return answer | ({"requires": model.requires} if model.requires else {})


def _message(entry: Message) -> dict[str, str]:
    return {"role": entry.role, "content": entry.content}


def progress(step: Progress) -> dict[str, Any]:
    """A status line of a slow verb."""
    answer: dict[str, Any] = {"status": step.status}
    optional = {"digest": step.digest, "total": step.total, "completed": step.completed}
    return answer | {name: value for name, value in optional.items() if value}
