"""Config: what a model's config.json says about its shape, each value checked as it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ollama_jupyter.convert.folder import Folder, refused
from ollama_jupyter.errors import ConversionError

FILE = "config.json"
_MISSING = object()


class Config:
    """The values of one configuration. A `text_config`, the language model of a larger one, lies over the rest."""

    def __init__(self, values: Mapping[str, Any], file: str = FILE) -> None:
        text = values.get("text_config")
        self._values = {**values, **text} if isinstance(text, dict) else dict(values)
        self._file = file
        names = values.get("architectures")
        self.architecture = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""

    def over(self, defaults: Mapping[str, Any]) -> Config:
        """This configuration with `defaults` for what it leaves out, or sets to null."""
        merged = Config({**defaults, **{key: value for key, value in self._values.items() if value is not None}})
        merged.architecture = self.architecture
        return merged

    @property
    def quantization(self) -> str:
        """How the checkpoint is quantised, in its own word; "" where it is not."""
        value = self._values.get("quantization_config")
        if not value:
            return ""
        return str(value.get("quant_method", "unknown"))[:40] if isinstance(value, dict) else "unknown"

    def has(self, key: str) -> bool:
        return self._values.get(key) is not None

    def _take(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        if value is not None:
            return value
        if default is _MISSING:
            raise refused(self._file, f'"{key}" is missing')
        return default

    def integer(self, key: str, default: Any = _MISSING, *, low: int = 1, high: int = 2**31 - 1) -> int:
        """A whole number. Raises ConversionError if it is missing without a default, or out of range."""
        value = self._take(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise refused(self._file, f'"{key}" must be a whole number from {low} to {high}')
        return value

    def number(self, key: str, default: Any = _MISSING, *, low: float = 0.0, high: float = 1e12) -> float:
        """A finite number. Raises ConversionError if it is missing without a default, or out of range."""
        value = self._take(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:  # NaN fails too
            raise refused(self._file, f'"{key}" must be a number from {low:g} to {high:g}')
        return float(value)

    def numbers(self, key: str, length: int) -> list[float]:
        """So many positive numbers."""
        value = self._values.get(key)
        good = isinstance(value, list) and len(value) == length
        if not good or not all(type(n) in (int, float) and 0 < n < 1e12 for n in value or ()):
            raise refused(self._file, f'"{key}" must be {length} positive numbers')
        return [float(n) for n in value or ()]

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise refused(self._file, f'"{key}" must be true or false')
        return value

    def text(self, key: str, default: str = "") -> str:
        value = self._take(key, default)
        if not isinstance(value, str):
            raise refused(self._file, f'"{key}" must be a string')
        return value

    def texts(self, key: str) -> list[str]:
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise refused(self._file, f'"{key}" must be strings')
        return value

    def raw(self, key: str) -> Any:
        return self._values.get(key)

    def part(self, key: str) -> Config:
        """An object inside the configuration, empty where there is none."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise refused(self._file, f'"{key}" must be an object')
        return Config(value, self._file)

    def demand(self, key: str, *allowed: Any) -> None:
        """Raise ConversionError if `key` is there with a value that llama.cpp's model of this kind does not compute."""
        value = self._values.get(key)
        if value is not None and value not in allowed:
            wanted = " or ".join("nothing" if item is None else str(item) for item in allowed)
            raise ConversionError(f'{self._file}: "{key}" is {str(value)[:60]!r}; only {wanted} can be converted')


def read_config(folder: Folder) -> Config:
    return Config(folder.json(FILE))
