"""The lines that were typed, in Ollama's file, so that both programs recall the same ones."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

LINES = 100


def history_file() -> Path:
    """Where nobody knows the home of the user, a file that cannot be."""
    try:
        return Path.home() / ".ollama" / "history"
    except RuntimeError:
        return Path(os.devnull) / "history"


class FileHistory(History):
    """The last 100 lines of all sittings. While `enabled` is false, new ones are recalled but not written down."""

    def __init__(self, path: Path, *, enabled: bool) -> None:
        super().__init__()
        self.path = path
        self.enabled = enabled

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._read())  # the newest comes first

    def store_string(self, string: str) -> None:
        if not self.enabled:
            return
        lines = [line for line in string.splitlines() if line.strip()]
        with contextlib.suppress(OSError):  # a full disk must not end a conversation
            self._write([*self._read(), *lines][-LINES:])

    def _read(self) -> list[str]:
        """What is there now: another sitting may have added to it."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return [line.strip() for line in text.split("\n") if line.strip()][-LINES:]

    def _write(self, lines: list[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                file.writelines(f"{line}\n" for line in lines)
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)  # of a disk that is full, say
