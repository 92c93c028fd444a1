"""What a user of the magics gets to see when something goes wrong: one line, never a traceback.

Both are exceptions, so that Run All stops at the cell.
"""

from __future__ import annotations

from ollama_jupyter.errors import OllamaJupyterError

RED, PLAIN = "\x1b[31m", "\x1b[0m"


class OllamaError(OllamaJupyterError):
    """A mistyped command, no server, or what the server refused, in its own words."""

    def _render_traceback_(self) -> list[str]:
        return [f"{RED}ollama: {self.message}{PLAIN}"]


class Interrupted(KeyboardInterrupt):
    """Kernel > Interrupt while an answer was streaming."""

    def _render_traceback_(self) -> list[str]:
        return [f"{RED}ollama: {self}{PLAIN}"]
