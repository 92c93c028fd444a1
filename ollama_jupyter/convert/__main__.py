"""The child program that converts: untrusted files are read in a process that may die without taking the server along.

It reads one line of JSON from its standard input: `folder`, `target`, `kind` ("model" or "adapter"), and for an adapter
`base`, the base model's GGUF, or the list of its shards. It prints JSON lines: `{"completed": n, "total": m}` now and
then, at last `{"done": true}` or `{"error": "..."}`, a text fit for a stranger.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ollama_jupyter.convert import convert_adapter, convert_model
from ollama_jupyter.errors import OllamaJupyterError
from ollama_jupyter.gguf import GGUFHeader, join, read_header

_INTERVAL = 0.1
"""Seconds between two lines of progress."""


def _say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


class _Progress:
    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, completed: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or completed == total:
            self._next = now + _INTERVAL
            _say({"completed": completed, "total": total})


def _convert(task: Mapping[str, Any]) -> None:
    folder, target = Path(task["folder"]), Path(task["target"])
    if task.get("kind", "model") == "adapter":
        convert_adapter(folder, target, _base(task["base"]), _Progress())
    else:
        convert_model(folder, target, _Progress())


def _base(paths: str | list[str]) -> GGUFHeader:
    """The header of the base model: of its one file, or of its shards in order."""
    if isinstance(paths, str):
        return read_header(Path(paths))
    return join([read_header(Path(path)) for path in paths])


def _failure(error: Exception) -> str:
    if isinstance(error, OllamaJupyterError):
        return error.message
    if isinstance(error, OSError):
        return f"converting failed: {error.strerror or type(error).__name__}"
    if isinstance(error, MemoryError):
        return "converting failed: not enough memory"
    return f"converting failed: {type(error).__name__}"


def main() -> None:
    task = json.loads(sys.stdin.readline())
    try:
        _convert(task)
    except Exception as error:  # whatever it is, the parent gets one line and no traceback
        _say({"error": _failure(error)})
        raise SystemExit(1) from None
    _say({"done": True})


if __name__ == "__main__":
    main()
