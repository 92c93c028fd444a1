"""`ollama-jupyter serve`: the application headless."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import fields
from typing import Any

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.config import DEFAULT_PORT, SETTINGS, Setting, Settings
from ollama_jupyter.durations import format_duration

_LEVELS = {0: logging.INFO, 1: logging.DEBUG}
_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}


def run(_: Call) -> int:
    """Serve until Ctrl-C or SIGTERM. Returns the exit code."""
    debug = Settings.from_env({"OLLAMA_DEBUG": os.environ.get("OLLAMA_DEBUG", "")}).debug
    set_up_logging(debug)  # first, so that what the others' reading says is seen
    settings = Settings.from_env()

    from ollama_jupyter.server.standalone import serve

    return serve(settings)


def set_up_logging(debug: int) -> None:
    """Log to stderr: 0 what happens, 1 also scheduling and timings, 2 also what libraries tell."""
    logging.basicConfig(
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        level=logging.DEBUG if debug > 1 else logging.WARNING,
    )
    logging.getLogger("ollama_jupyter").setLevel(_LEVELS.get(debug, logging.DEBUG))


def settings_table() -> str:
    """Every variable with its default and meaning."""
    width = max(len(setting.env) for setting in SETTINGS)
    rows = [f"  {setting.env:<{width}}  {_meaning(setting)}" for setting in SETTINGS]
    return "\n".join(["environment variables:", *rows])


def _meaning(setting: Setting) -> str:
    default = f" (default {_default(setting)})" if setting.field else ""
    later = f" [{setting.later}]" if setting.later else ""
    return f"{setting.help}{default}{later}"


def _default(setting: Setting) -> str:
    value = _DEFAULTS[setting.field]
    if setting.field == "host":
        return f"127.0.0.1:{DEFAULT_PORT}"
    if isinstance(value, bool) or value is None:
        return {None: "automatic", True: "1", False: "0"}[value]
    if isinstance(value, float):
        return format_duration(value)
    return str(value) if value not in ("", ()) else "none"
