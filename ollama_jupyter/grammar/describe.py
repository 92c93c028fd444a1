"""Telling a model about tools that its own template has no words for."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ollama_jupyter.messages import Tool

_HOW = 'Call one by answering with a JSON object and nothing else: {"name": <name>, "arguments": {<its arguments>}}'


def describe_tools(tools: Sequence[Tool]) -> str:
    """A text for the system turn: what may be called, and how it is written."""
    told = [json.dumps(tool.get("function") or {}, ensure_ascii=False) for tool in tools]
    return "\n".join(["You can call these functions:", *told, _HOW])
