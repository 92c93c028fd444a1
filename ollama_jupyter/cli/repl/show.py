"""`/show`: what the model is, with the session's system message and parameters laid over it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ollama_jupyter.cli.repl import model as models
from ollama_jupyter.cli.repl.help import explain
from ollama_jupyter.cli.repl.session import Session
from ollama_jupyter.cli.repl.view import show as put
from ollama_jupyter.cli.show import blocks
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.modelfile import format_value

NAMES = ("info", "license", "modelfile", "parameters", "system", "template")


def show(session: Session, rest: str) -> None:
    """Take what stands behind `/show`. Raises OllamaError."""
    name = next(iter(rest.split()), "")
    if not name:
        return explain("show")
    if name not in NAMES:
        print(f"Unknown command '/show {name}'. Type /? for help")
        return None
    overlay = {"system": session.settings.system, "options": session.settings.options}
    found = models.find(session.server, session.model.name, **overlay)
    if found is None:
        raise OllamaError("couldn't get model")
    return _PARTS[name](session, found.shown)


def _info(_: Session, shown: dict[str, Any]) -> None:
    for line in blocks(shown, verbose=False):
        print(line, file=sys.stderr)


def _license(_: Session, shown: dict[str, Any]) -> None:
    _line(shown.get("license") or "No license was specified for this model.")


def _modelfile(_: Session, shown: dict[str, Any]) -> None:
    _line(shown.get("modelfile") or "")


def _template(_: Session, shown: dict[str, Any]) -> None:
    _line(shown.get("template") or "No prompt template was specified for this model.")


def _system(session: Session, shown: dict[str, Any]) -> None:
    said = session.settings.system or shown.get("system")
    _line(f"{said}\n" if said else "No system message was specified for this model.")


def _parameters(session: Session, shown: dict[str, Any]) -> None:
    own = (shown.get("parameters") or "").splitlines() or ["No additional parameters were specified for this model."]
    _line("\n  ".join(["Model defined parameters:", *own]) + "\n")
    if session.settings.options:
        rows = [f"{name:<30} {_text(value)}" for name, value in session.settings.options.items()]
        _line("\n  ".join(["User defined parameters:", *rows]) + "\n")


def _text(value: Any) -> str:
    return f"[{' '.join(value)}]" if isinstance(value, list) else format_value(value)


def _line(text: str) -> None:
    put(f"{text}\n")


_PARTS: dict[str, Callable[[Session, dict[str, Any]], None]] = {
    "info": _info,
    "license": _license,
    "modelfile": _modelfile,
    "parameters": _parameters,
    "system": _system,
    "template": _template,
}
