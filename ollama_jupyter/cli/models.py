"""The small verbs: list, ps, cp, rm, stop."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.server import connected
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.text import columns, printable
from ollama_jupyter.client.units import ago, from_now, size


def list_models(call: Call) -> int:
    """The models of the store whose names begin with the prefix, in any case."""
    prefix = "".join(call.args[:1]).lower()
    with connected() as client:
        models = client.list().models
    rows = [[*_identity(m), ago(m.modified_at, _now())] for m in models if (m.model or "").lower().startswith(prefix)]
    return _print_table(("NAME", "ID", "SIZE", "MODIFIED"), rows)


def list_running(call: Call) -> int:
    """The models in memory whose names begin with the prefix."""
    prefix = "".join(call.args[:1])
    with connected() as client:
        models = [model for model in client.ps().models if (model.model or "").startswith(prefix)]
    rows = [[*_identity(m), *_whereabouts(m)] for m in models]
    return _print_table(("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"), rows)


def _identity(model: Any) -> tuple[str, str, str]:
    return model.model or "", (model.digest or "")[:12], size(model.size)


def _whereabouts(model: Any) -> tuple[str, str, str]:
    where = processor(model.size or 0, model.size_vram or 0)
    return where, str(model.context_length or 0), from_now(model.expires_at, _now())


def processor(total: int, on_gpu: int) -> str:
    """Where a model lies: `100% GPU`, `100% CPU`, `41%/59% CPU/GPU`."""
    if on_gpu == 0:
        return "100% CPU"
    if on_gpu == total:
        return "100% GPU"
    if on_gpu > total:
        return "Unknown"
    on_cpu = round((total - on_gpu) / total * 100)
    return f"{on_cpu}%/{100 - on_cpu}% CPU/GPU"


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    for line in columns([header, *([printable(cell) for cell in row] for row in rows)]):
        print(line)
    return 0


def _now() -> datetime:
    return datetime.now(timezone.utc)


def copy(call: Call) -> int:
    source, destination = call.args
    with connected() as client:
        client.copy(source, destination)
    print(f"copied '{source}' to '{destination}'")
    return 0


def remove(call: Call) -> int:
    """Remove each model, from memory too. The first that cannot be removed ends it."""
    for name in call.args:
        _unload_quietly(name)
        with connected() as client:
            client.delete(name)
        print(f"deleted '{name}'", flush=True)
    return 0


def _unload_quietly(name: str) -> None:
    try:
        _unload(name)
    except OllamaError as error:
        if "not found" not in error.message.lower():
            print(f"Warning: unable to stop model '{printable(name)}'", file=sys.stderr)


def stop(call: Call) -> int:
    [name] = call.args
    try:
        _unload(name)
    except OllamaError as error:
        if "not found" in error.message:
            raise OllamaError(f'couldn\'t find model "{name}" to stop') from None
        raise
    return 0


def _unload(name: str) -> None:
    with connected() as client:
        client.show(name)
        client.generate(model=name, keep_alive=0)
