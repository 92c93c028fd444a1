"""`ollama-jupyter show`: everything about a model in blocks, or one part of it as it is."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.server import connected
from ollama_jupyter.client import routes
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.text import columns, printable
from ollama_jupyter.client.units import parameters
from ollama_jupyter.modelfile import format_value

PARTS = ("license", "modelfile", "parameters", "system", "template")
_NARROW, _WIDE = 30, 100
_HEAD = 2
_LIST_WIDTH = 10

Row = list[str]


def show(call: Call) -> int:
    wanted = [part for part in PARTS if call.flags[part]]
    if len(wanted) > 1:
        parts = "'--license', '--modelfile', '--parameters', '--system', or '--template'"
        raise OllamaError(f"only one of {parts} can be specified")
    with connected() as client:
        shown = routes.show(client, call.args[0], verbose=call.flags["verbose"])
        lines = list(blocks(shown, verbose=call.flags["verbose"]))
    if wanted:
        return _print_part(shown.get(wanted[0]) or "", "" if wanted[0] in ("system", "template") else "\n")
    print("".join(f"{line}\n" for line in lines), end="")
    return 0


def _print_part(text: str, end: str) -> int:
    """The text as it is for a file or a pipe; a terminal is not shown what would steer it."""
    if sys.stdout.isatty():
        text = "\n".join(map(printable, text.expandtabs().splitlines()))
    print(text, end=end)
    return 0


def blocks(shown: Mapping[str, Any], *, verbose: bool) -> Iterator[str]:
    """The lines of all blocks of an `/api/show` answer, each block with its title and an empty line behind it."""
    info = shown.get("model_info") or {}
    yield from _block("Model", list(_model(shown, info)))
    yield from _block("Capabilities", [[name] for name in shown.get("capabilities") or []])
    yield from _block("Projector", list(_projector(shown.get("projector_info") or {})))
    yield from _block("Parameters", [line.split() for line in (shown.get("parameters") or "").splitlines() if line])
    if verbose:
        yield from _block("Metadata", [[key, _value(info[key])] for key in sorted(info)])
        tensors = shown.get("tensors") or []
        yield from _block("Tensors", [[t["name"], t["type"], f"[{' '.join(map(str, t['shape']))}]"] for t in tensors])
    yield from _block("System", _head(shown.get("system") or ""), _WIDE)
    yield from _block("License", _head(shown.get("license") or ""), _WIDE)


def _block(title: str, rows: Sequence[Row], width: int = _NARROW) -> Iterator[str]:
    if not rows:
        return
    yield f"  {title}"
    yield from columns([["", *line] for row in rows for line in _wrapped(row, width)])
    yield ""


def _wrapped(row: Row, width: int) -> Iterator[Row]:
    """A row as the lines that it takes when no cell may be wider, words being whole."""
    cells = [textwrap.wrap(printable(cell), width, break_long_words=False, break_on_hyphens=False) for cell in row]
    for at in range(max(map(len, cells), default=0)):
        yield [cell[at] if at < len(cell) else "" for cell in cells]


def _model(shown: Mapping[str, Any], info: Mapping[str, Any]) -> Iterator[Row]:
    details = shown.get("details") or {}
    if shown.get("remote_host"):
        yield ["Remote model", shown.get("remote_model") or ""]
        yield ["Remote URL", shown["remote_host"]]
    architecture = str(info.get("general.architecture") or details.get("family") or "")
    count = info.get("general.parameter_count")
    size = details.get("parameter_size") or (count and parameters(int(count)))
    rows = [
        ("architecture", architecture),
        ("parameters", size),
        ("context length", info.get(f"{architecture}.context_length")),
        ("embedding length", info.get(f"{architecture}.embedding_length")),
    ]
    yield from ([name, str(value)] for name, value in rows if value)
    yield ["quantization", details.get("quantization_level") or ""]
    if shown.get("requires"):
        yield ["requires", shown["requires"]]


def _projector(info: Mapping[str, Any]) -> Iterator[Row]:
    architecture = str(info.get("general.architecture") or "")
    if architecture:
        yield ["architecture", architecture]
    if info.get("general.parameter_count"):
        yield ["parameters", parameters(int(info["general.parameter_count"]))]
    for name, suffix in (("embedding length", "embedding_length"), ("dimensions", "projection_dim")):
        keys = (f"{architecture}.{modality}.{suffix}" for modality in ("vision", "audio"))
        yield from ([name, str(info[key])] for key in keys if key in info)


def _value(value: object) -> str:
    """A value of the metadata in Go's words; of a list as many elements as fit."""
    if not isinstance(value, list):
        return format_value(float(value)) if type(value) is int else "<nil>" if value is None else format_value(value)
    words = ["true" if item is True else "false" if item is False else str(item) for item in value]
    fitting, width = 0, 1
    for word in words:
        width += len(word) + (2 if fitting else 0)
        if width > _LIST_WIDTH and fitting:
            break
        fitting += 1
    more = f" ...+{len(words) - fitting} more" if fitting < len(words) else ""
    return f"[{' '.join(words[:fitting])}{more}]"


def _head(text: str) -> list[Row]:
    """The first two lines that are not blank, and `...` if there are more."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [[line] for line in lines[:_HEAD]] + ([["..."]] if len(lines) > _HEAD else [])
