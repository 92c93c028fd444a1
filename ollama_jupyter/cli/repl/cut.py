"""Reads off a stream what of the prompt did not fit: the official client drops fields that Ollama does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ollama_jupyter.client.text import printable

if TYPE_CHECKING:
    import httpx


class Cut:
    """Watches a response as its lines pass."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}

    def watch(self, response: httpx.Response) -> None:
        lines = response.iter_lines

        def watched() -> Iterator[str]:
            for line in lines():
                if '"truncated"' in line:
                    self._note(json.loads(line))
                yield line

        response.iter_lines = watched  # type: ignore[method-assign]

    def _note(self, line: Any) -> None:
        if isinstance(line, dict) and isinstance(line.get("truncated"), dict):
            self._said = line["truncated"]

    def __str__(self) -> str:
        """One line for the user; empty if everything fitted."""
        if not self._said:
            return ""
        messages, tokens, window = (self._said.get(name, 0) for name in ("messages", "tokens", "num_ctx"))
        what = f"{messages} earlier message(s)" if messages else f"{tokens} token(s) of the prompt"
        return printable(f"warning: {what} did not fit into the context of {window} tokens")
