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
    TokenLogprob,
    ToolCall,
    Truncated,
)


def error(message: str) -> dict[str, Any]:
    return {"error": message}


def unauthorized() -> dict[str, Any]:
    """Nobody is signed in. The address names neither the machine nor its key, which Ollama's does."""
    return {"error": "unauthorized", "signin_url": "https://ollama.com/signin"}


def signed_out() -> dict[str, Any]:
    return error("you are not currently signed in")


def status() -> dict[str, Any]:
    """There is no cloud here, by our own doing."""
    return {"cloud": {"disabled": True, "source": "config"}}


# ---- generate and chat ------------------------------------------------------------------------------------------


def generate_chunk(model: str, chunk: Chunk) -> dict[str, Any]:
    """A line of `/api/generate`, or the whole answer. `model` is echoed as the client sent it."""
    return {
        "model": model,
        "created_at": utc_now(),
        "response": chunk.text,
        **_filled(thinking=chunk.thinking),
        "done": chunk.done,
        **_filled(done_reason=chunk.done_reason, context=list(chunk.context)),
        **_metrics(chunk.stats),
        **_filled(tool_calls=_calls(chunk)),
        **_debug(chunk),
        **_filled(logprobs=[logprob(item) for item in chunk.logprobs]),
        **_ours(chunk),
    }


def chat_chunk(model: str, chunk: Chunk) -> dict[str, Any]:
    """A line of `/api/chat`, or the whole answer."""
    role = "" if chunk.rendered is not None else "assistant"
    return {
        "model": model,
        "created_at": utc_now(),
        "message": {
            "role": role,
            "content": chunk.text,
            **_filled(thinking=chunk.thinking, tool_calls=_calls(chunk)),
        },
        "done": chunk.done,
        **_filled(done_reason=chunk.done_reason),
        **_debug(chunk),
        **_filled(logprobs=[logprob(item) for item in chunk.logprobs]),
        **_metrics(chunk.stats),
        **_ours(chunk),
    }


def _filled(**values: Any) -> dict[str, Any]:
    """Those that are not empty: Ollama leaves the others out."""
    return {name: value for name, value in values.items() if value}


def _calls(chunk: Chunk) -> list[dict[str, Any]]:
    return [_call(call) for call in chunk.tool_calls]


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"index": call.index, "name": call.name, "arguments": dict(call.arguments)}
    return {**_filled(id=call.id), "function": function}


def logprob(item: TokenLogprob) -> dict[str, Any]:
    """A token's logarithm as Ollama and, with the same names, OpenAI have it."""
    top = [_plain_logprob(other) for other in item.top]
    return _plain_logprob(item) | _filled(top_logprobs=top)


def _plain_logprob(item: TokenLogprob) -> dict[str, Any]:
    # JSON has no infinity: OpenAI's word for "as good as impossible" is -9999.
    return {"token": item.token, "logprob": max(item.logprob, -9999.0), "bytes": list(item.bytes)}


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
    if chunk.rendered is None:
        return {}
    return {"_debug_info": {"rendered_template": chunk.rendered, **_filled(image_count=chunk.image_count)}}


def _ours(chunk: Chunk) -> dict[str, Any]:
    """What Ollama does not tell: a call that is none, and, at the end, what was cut from the prompt."""
    cut = truncated(chunk.truncated) if chunk.truncated and chunk.done else None
    return _filled(tool_parse_error=chunk.tool_parse_error, truncated=cut)


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
