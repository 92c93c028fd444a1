"""Folder: the files of one model, each read by name and within bounds."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from ollama_jupyter.errors import ConversionError

MAX_JSON = 16 << 20
MAX_TOKENIZER = 256 << 20


def refused(name: str, reason: str) -> ConversionError:
    return ConversionError(f"{name}: {reason}")


class Folder:
    """Reads files under `path`. A name is relative, with `/` between its parts, and never leaves the folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def path(self, name: str) -> Path:
        """Where the file `name` lies.

        Raises:
            ConversionError: if the name leads out of the folder.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or any(c in name for c in "\\:\0") or len(name) > 255:
            raise ConversionError(f"{name[:80]!r} is not the name of a file in the model's folder")
        return self._path.joinpath(*parts)

    def has(self, name: str) -> bool:
        return self.path(name).is_file()

    def names(self, pattern: str) -> list[str]:
        return sorted(path.name for path in self._path.glob(pattern) if path.is_file())

    def read(self, name: str, limit: int = MAX_JSON) -> bytes:
        """The content of a file.

        Raises:
            ConversionError: if it is missing, cannot be read, or is longer than `limit` bytes.
        """
        try:
            with self.path(name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read(min(size, limit) + 1)  # asking for more would set aside the memory for it
        except FileNotFoundError:
            raise ConversionError(f"{name} is missing") from None
        except OSError as error:
            raise refused(name, f"cannot be read: {error.strerror}") from None
        if len(data) > limit:
            raise refused(name, f"longer than the {limit >> 20} MiB allowed")
        return data

    def text(self, name: str, limit: int = MAX_JSON) -> str:
        try:
            return self.read(name, limit).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise refused(name, "not UTF-8 text") from None

    def json(self, name: str, limit: int = MAX_JSON) -> dict[str, Any]:
        """The object that a JSON file holds.

        Raises:
            ConversionError: if the file is missing or too long, or is no JSON object.
        """
        return parse_object(name, self.read(name, limit))

    def json_or_empty(self, name: str, limit: int = MAX_JSON) -> dict[str, Any]:
        """As `json`, and an empty object where there is no such file."""
        return self.json(name, limit) if self.has(name) else {}


def parse_json(name: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise refused(name, "not valid JSON") from None


def parse_object(name: str, data: bytes) -> dict[str, Any]:
    value = parse_json(name, data)
    if not isinstance(value, dict):
        raise refused(name, "must hold a JSON object")
    return value
