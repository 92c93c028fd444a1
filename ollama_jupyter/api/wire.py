"""Writing values as Go's JSON encoder does: compact, `<` `>` `&` escaped, RFC 3339 times, nanoseconds."""

from __future__ import annotations

import json
import math
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from ollama_jupyter.durations import MAX_S

_ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
)


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8. The escaped characters can only stand inside strings, so replacing them is sound."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES:
        if character in text:
            text = text.replace(character, escape)
    return text.encode("utf-8", "replace")


def metadata(value: Any) -> Any:
    """GGUF metadata as JSON: maps sorted by key, whole floats as integers, what is not finite as null."""
    if isinstance(value, dict):
        return {key: metadata(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [metadata(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    return value


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def utc_now() -> str:
    """This moment in UTC: `2026-08-01T12:00:00.123456789Z`, trailing zeros of the fraction trimmed."""
    now = time.time_ns()
    whole = datetime.fromtimestamp(now // 10**9, timezone.utc)
    return _stamp(whole, now % 10**9)


def local_time(moment: float) -> str:
    """A `time.time()` in the machine's zone, to the microsecond. At most about 292 years ahead."""
    micros = round(min(moment, time.time() + MAX_S) * 1e6)
    try:
        whole = datetime.fromtimestamp(micros // 10**6, timezone.utc).astimezone()
    except (OverflowError, OSError, ValueError):  # a platform whose zone tables end before that year
        whole = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=micros // 10**6)
    return _stamp(whole, micros % 10**6 * 1000)


def _stamp(whole: datetime, nanos: int) -> str:
    fraction = f".{nanos:09d}".rstrip("0").rstrip(".")
    offset = whole.strftime("%z")
    zone = "Z" if offset in ("+0000", "-0000") else f"{offset[:3]}:{offset[3:5]}"
    return whole.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone
