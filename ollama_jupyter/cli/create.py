"""`ollama-jupyter create`: a model from a Modelfile and the files of this machine that it names."""

from __future__ import annotations

import logging
from pathlib import Path

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.progress import Bars
from ollama_jupyter.cli.server import connected
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import ModelName

COPYING = "copying file "
LARGEST = 16 << 20
"""Bytes of a Modelfile: more than any server takes, and an end for what has none."""


def create(call: Call) -> int:
    from ollama_jupyter.client.modelfiles import create_from_modelfile

    [name] = call.args
    ModelName.parse(name, error=f"invalid model name: {name}")
    text, folder = _modelfile(call.flags["file"])
    logging.basicConfig(format="warning: %(message)s")  # of deprecated parameters
    levels = {"quantize": call.flags["quantize"], "draft_quantize": call.flags["draft_quantize"]}
    with connected() as client, Bars() as bars:
        create_from_modelfile(client, name, text, folder, **levels, on_progress=lambda step: show(bars, step))
    return 0


def _modelfile(given: str) -> tuple[bytes, Path]:
    """Its text, and the folder that its paths are relative to."""
    path = Path(given or "Modelfile").absolute()
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError:
        if given:
            raise OllamaError("specified Modelfile wasn't found") from None
        return b"FROM .\n", path.parent
    if len(text) > LARGEST:
        raise OllamaError(f"the Modelfile is larger than {LARGEST >> 20} MB")
    return text, path.parent


def show(bars: Bars, step: Progress) -> None:
    """A step on the display: files that are copied are told in per cent on one line each, as Ollama does."""
    if not step.status.startswith(COPYING):
        return bars.show(step)
    percent = 100 * step.completed // step.total if step.total else 100
    return bars.restate(step.status, f"{step.status} {percent}%")
