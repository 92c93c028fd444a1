"""Fields that several of OpenAI's routes share: sampling, limits, formats, effort."""

from __future__ import annotations

from typing import Any

from ollama_jupyter.api.fields import Fields, kind_of
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Format

MAX_N = 16
MAX_BIASES = 1024

_EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}


def sampling(fields: Fields) -> dict[str, object]:
    """Options of sampling. What is absent is left to the model's parameters."""
    options: dict[str, object] = {
        "temperature": fields.number("temperature"),
        "top_p": fields.number("top_p"),
        "seed": fields.integer("seed"),
        "frequency_penalty": fields.number("frequency_penalty"),
        "presence_penalty": fields.number("presence_penalty"),
        "stop": stop(fields),
    }
    return {name: value for name, value in options.items() if value is not None}


def limit(fields: Fields, *names: str) -> dict[str, object]:
    """The limit of tokens, by the first of its names that is there."""
    found = [value for name in names if (value := fields.integer(name)) is not None]
    return {"num_predict": found[0]} if found else {}


def stop(fields: Fields) -> list[str] | None:
    if isinstance(fields.get("stop"), str):
        return [fields.text("stop")]
    return list(fields.texts("stop")) if "stop" in fields else None


def count(fields: Fields) -> int:
    """How many answers: `n`."""
    n = fields.integer("n")
    if n is not None and not 1 <= n <= MAX_N:
        raise BadRequest(f'field "n" must be between 1 and {MAX_N}, got {n}')
    return n or 1


def logit_bias(fields: Fields) -> dict[int, float]:
    """Token ids and what is added to their logits."""
    raw = fields.mapping("logit_bias")
    if len(raw) > MAX_BIASES:
        raise BadRequest(f'field "logit_bias" names {len(raw)} tokens; at most {MAX_BIASES} are taken')
    return {_token(key): _bias(key, value) for key, value in raw.items()}


def _token(key: str) -> int:
    if not key.isascii() or not key.isdecimal() or len(key) > 9:
        raise BadRequest(f'field "logit_bias" must have token ids as its keys, got "{key[:40]}"')
    return int(key)


def _bias(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRequest(f'field "logit_bias.{key}" must be a number, got {kind_of(value)}')
    if not -100 <= value <= 100:
        raise BadRequest(f'field "logit_bias.{key}" must be between -100 and 100, got {value}')
    return float(value)


def effort(fields: Fields) -> bool | str | None:
    """How hard to think: `reasoning.effort`, else `reasoning_effort`. None where neither is there."""
    wish = fields.child("reasoning").text("effort") or fields.text("reasoning_effort")
    if wish and wish not in _EFFORTS:
        known = ", ".join(f'"{name}"' for name in _EFFORTS)
        raise BadRequest(f'invalid reasoning value: "{wish}" (must be one of {known})')
    return _EFFORTS[wish] if wish else None


def response_format(fields: Fields, name: str = "response_format") -> Format | None:
    """What the answer has to be. `regex` and `choice` are kinds of ours."""
    wish = fields.child(name)
    kind = wish.text("type") or "text"
    if kind == "text":
        return None
    if kind == "json_object":
        return Format("json")
    if kind == "json_schema":
        # Chat completions wrap the schema, responses have it beside the type.
        holder = wish.child("json_schema") if "json_schema" in wish else wish
        for told in ("name", "description", "strict"):
            holder.get(told)  # the schema always holds, whatever it is called
        if "schema" not in holder:
            raise BadRequest(f'field "{holder.label("schema")}" must be a JSON Schema')
        return Format("schema", holder.mapping("schema"))
    return _our_format(wish, kind)


def _our_format(wish: Fields, kind: str) -> Format:
    if kind == "regex":
        if not wish.text("pattern"):
            raise BadRequest(f'field "{wish.label("pattern")}" must be a regular expression')
        return Format("regex", wish.text("pattern"))
    if kind == "choice":
        if not wish.texts("choices"):
            raise BadRequest(f'field "{wish.label("choices")}" must be an array of strings, at least one')
        return Format("choice", wish.texts("choices"))
    expected = '"text", "json_object", "json_schema", "regex" or "choice"'
    raise BadRequest(f'field "{wish.label("type")}" must be {expected}, got "{kind}"')


def include_usage(fields: Fields) -> bool:
    """Whether a stream ends with what it cost."""
    return fields.child("stream_options").flag("include_usage", False)


def top_logprobs(fields: Fields) -> int:
    top = fields.integer("top_logprobs") or 0
    if not 0 <= top <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20")
    return top


def require_model(fields: Fields) -> str:
    model = fields.text("model")
    if not model.strip():
        raise BadRequest("model is required")
    return model


def common(fields: Fields) -> dict[str, Any]:
    """What chat and completions share, as arguments of both requests."""
    return {
        "model": require_model(fields),
        "stream": fields.flag("stream", False),
        "n": count(fields),
        "logit_bias": logit_bias(fields),
        "debug_render_only": fields.flag("_debug_render_only", False),
    }
