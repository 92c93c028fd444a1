"""How families write thinking and calls, and what takes their answers apart."""

from __future__ import annotations

from ollama_jupyter.prompt.parsers.infer import infer
from ollama_jupyter.prompt.parsers.table import capabilities, json_parser, named, names, thinking_shown

__all__ = ["capabilities", "infer", "json_parser", "named", "names", "thinking_shown"]
