"""Durations as Go writes them (`1h30m`, `300ms`), in seconds, because Ollama's wire and settings use that form."""

from __future__ import annotations

import re
import sys

FOREVER = float("inf")
MAX_S = (2**63 - 1) / 1e9
"""Seconds of the longest duration that Go holds, about 292 years. More is for ever."""
MAX_LENGTH = 64
"""Characters of a duration's text."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_BARE = re.compile(r"[0-9]+(\.[0-9]*)?")


def parse_duration(text: str) -> float:
    """Seconds of a Go duration string. Negative durations, and those that Go cannot hold, mean for ever.

    Raises:
        ValueError: with Go's own message.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f'time: invalid duration "{text[: MAX_LENGTH // 2]}..."')
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return 0.0
    seconds = _sum(body)
    if seconds is None:
        problem = "missing unit in" if _BARE.fullmatch(body) else "invalid"
        raise ValueError(f'time: {problem} duration "{text}"')
    return FOREVER if text.startswith("-") and seconds else bounded(seconds)


def _sum(body: str) -> float | None:
    """The parts' seconds together, or None where something else stands between or behind them."""
    seconds, position = 0.0, 0
    while position < len(body):
        part = _PART.match(body, position)
        if part is None:
            return None
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    return seconds if body else None


def bounded(seconds: float) -> float:
    """The same number of seconds; FOREVER where it is negative or more than Go holds."""
    return seconds if 0 <= seconds <= MAX_S else FOREVER


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
    if abs(value) > sys.float_info.max:
        raise ValueError("number out of range: keep_alive must be a number of seconds that a float64 holds")
    return float(bounded(value))


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
