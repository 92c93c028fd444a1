"""`/set`: the settings of a conversation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from ollama_jupyter.cli.repl.help import explain
from ollama_jupyter.cli.repl.quotes import unquoted
from ollama_jupyter.cli.repl.session import Session
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.modelfile import parse_parameter

NAMES = (
    "parameter", "system", "history", "nohistory", "wordwrap", "nowordwrap", "format", "noformat", "verbose", "quiet",
    "think", "nothink",
)  # fmt: skip


class Set:
    """`keep_history` is called with whether typed lines are to be written down."""

    def __init__(self, session: Session, keep_history: Callable[[bool], None]) -> None:
        self._session = session
        self._settings = session.settings
        self._switches: dict[str, Callable[[], Any]] = {
            "history": lambda: keep_history(True),
            "nohistory": lambda: keep_history(False),
            "wordwrap": lambda: self._put(wrap=True),
            "nowordwrap": lambda: self._put(wrap=False),
            "verbose": lambda: self._put(verbose=True),
            "quiet": lambda: self._put(verbose=False),
        }
        self._others: dict[str, Callable[[str], None]] = {
            "parameter": self._parameter,
            "system": self._system,
            "format": self._format,
            "noformat": self._noformat,
            "think": self._think,
            "nothink": self._nothink,
        }

    def run(self, rest: str) -> None:
        """Take what stands behind `/set`."""
        name, value = (*rest.split(maxsplit=1), "", "")[:2]
        if not name:
            explain("set")
        elif name in self._switches:
            self._switches[name]()
            print(f"Set '{name}' mode.")
        elif name in self._others:
            self._others[name](value)
        else:
            print(f"Unknown command '/set {name}'. Type /? for help")

    def _put(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self._settings, name, value)

    def _parameter(self, rest: str) -> None:
        name, *values = rest.split() or [""]
        if not values:
            explain("parameter")
            return
        try:
            first = parse_parameter(name, values[0])
        except BadRequest as error:
            print(f"Couldn't set parameter: {json.dumps(error.message, ensure_ascii=False)}")
            return
        self._settings.options[name] = values if isinstance(first, list) else first
        print(f"Set parameter '{name}' to '{', '.join(values)}'")

    def _system(self, text: str) -> None:
        if not text:
            explain("set")
            return
        self._settings.system = unquoted(text)
        print("Set system message.")

    def _format(self, text: str) -> None:
        if text != "json":
            print("Invalid or missing format. For 'json' mode use '/set format json'")
            return
        self._settings.format = "json"
        print("Set format to 'json' mode.")

    def _noformat(self, _: str) -> None:
        self._settings.format = ""
        print("Disabled format.")

    def _think(self, level: str) -> None:
        self._settings.think = level or True
        self._warn_of_thinking()
        print(f"Set 'think' mode to '{level}'." if level else "Set 'think' mode.")

    def _nothink(self, _: str) -> None:
        self._settings.think = False
        self._warn_of_thinking()
        print("Set 'nothink' mode.")

    def _warn_of_thinking(self) -> None:
        if "thinking" not in self._session.model.capabilities:
            name = json.dumps(self._session.model.name, ensure_ascii=False)
            print(f"warning: model {name} does not support thinking output", file=sys.stderr)
