"""Sizes, counts and times in the words of Ollama's tables."""

from __future__ import annotations

from datetime import datetime

_YEAR = 365 * 86400.0


def size(count: float | None) -> str:
    """Bytes in decimal units, cut to whole ones from 10 up: `98 MB`, `9.8 MB`, `2 GB`; `-` for None."""
    if count is None:
        return "-"
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    whole = value >= 10 or unit == "B" or value == int(value)
    return f"{int(value)} {unit}" if whole else f"{value:.1f} {unit}"


def parameters(count: int) -> str:
    """A number of parameters: `7B`, `1.2B`, `134.52M`, `5K`."""
    for unit, name, digits in ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0)):
        if count >= unit:
            return f"{count / unit:.{digits if count % unit else 0}f}{name}"
    return str(count)


def ago(then: datetime | None, now: datetime) -> str:
    """How long something is past: `24 hours ago`; `-` for None."""
    return "-" if then is None else f"{span((now - then).total_seconds())} ago"


def from_now(then: datetime | None, now: datetime) -> str:
    """When a model goes: `4 minutes from now`, `Forever` for decades ahead, `Stopping...` for the past."""
    if then is None:
        return "-"
    seconds = (then - now).total_seconds()
    if seconds > 20 * _YEAR:
        return "Forever"
    return f"{span(seconds)} from now" if seconds > 0 else "Stopping..."


_HOUR, _DAY = 3600.0, 86400.0
# Ollama's wording: up to how many seconds, the unit's length, its name, and what one of it is called.
_SPANS = (
    (60.0, 1.0, "second", "1 second"),
    (_HOUR, 60.0, "minute", "About a minute"),
    (2 * _DAY, _HOUR, "hour", "About an hour"),
    (14 * _DAY, _DAY, "day", "1 day"),
    (60 * _DAY, 7 * _DAY, "week", "1 week"),
    (2 * _YEAR, 30 * _DAY, "month", "1 month"),
    (float("inf"), _YEAR, "year", "1 year"),
)


def span(seconds: float) -> str:
    """A length of time in one rounded word or two."""
    if seconds < 1:
        return "Less than a second"
    if seconds >= _HOUR:  # from there on Ollama counts in whole hours, rounded
        seconds = int(seconds / _HOUR + 0.5) * _HOUR
    unit, name, single = next(row[1:] for row in _SPANS if seconds < row[0])
    count = int(seconds // unit)
    return single if count == 1 else f"{count} {name}s"


def clock(seconds: float) -> str:
    """A time that is left, in at most two units: `3s`, `1m5s`, `2h10m`, `99h+`."""
    if seconds >= 100 * _HOUR:
        return "99h+"
    minutes, rest = divmod(int(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60}m"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
