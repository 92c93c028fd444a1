"""Durations as Go writes them (`1h30m`, `300ms`), in seconds, because Ollama's wire and settings use that form."""

from __future__ import annotations

import re

FOREVER = float("inf")

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds of a Go duration string. Negative durations mean for ever.

    Raises:
        ValueError: with Go's own message.
    """
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    parts = _PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        if re.fullmatch(r"\d+(\.\d*)?", body):
            raise ValueError(f'time: missing unit in duration "{text}"')
        raise ValueError(f'time: invalid duration "{text}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return FOREVER if text.startswith("-") and seconds else seconds


def parse_keep_alive(value: object) -> float | None:
    """Seconds that a model stays loaded after its last request, FOREVER, or None where the request says nothing.

    Numbers are seconds and negative ones mean for ever; strings are Go durations.

    Raises:
        ValueError: with Ollama's message, for any other type or a string that is no duration.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        kind = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}.get(type(value), "float64")
        raise ValueError(f"Unsupported type: '{kind}'")
    return FOREVER if value < 0 else float(value)


def format_duration(seconds: float) -> str:
    """Seconds in Go's form: `1m30s`, `635.103525ms`, `5m0s`."""
    if seconds == FOREVER:
        return "forever"
    if seconds == 0:
        return "0s"
    for unit in ("ms", "µs", "ns"):
        if seconds < 1:
            scaled = seconds / _UNITS[unit]
            if scaled >= 1:
                return f"{scaled:.6f}".rstrip("0").rstrip(".") + unit
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
