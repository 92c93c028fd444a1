"""JSON as Go's encoding/json writes it: manifests and layers are compared by digest, so every byte counts.

Compact, `<` `>` `&` and U+2028/9 escaped, numbers without a trailing `.0`, exponents only below 1e-6 and from 1e21.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

_HTML = re.compile("[<>&\u2028\u2029]")


def encode(value: object) -> bytes:
    """One line of JSON with its newline, as `json.NewEncoder(w).Encode(value)` gives. Keys keep the mapping's order.

    Raises:
        ValueError: for a number that JSON cannot hold.
        TypeError: for a value of another type than JSON's.
    """
    return (_text(value) + "\n").encode("utf-8", "replace")


def sort_keys(value: object) -> object:
    """The same value with every mapping in key order, as Go writes its maps."""
    if isinstance(value, Mapping):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    return [sort_keys(item) for item in value] if isinstance(value, (list, tuple)) else value


def _text(value: object) -> str:
    if isinstance(value, str):
        return _HTML.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value, ensure_ascii=False))
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_text(str(key))}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value)


def number(value: float) -> str:
    """A float64 in Go's JSON form, the shortest digits that read back the same.

    Raises:
        ValueError: for infinities and NaN.
    """
    if not math.isfinite(value):
        raise ValueError("not a JSON number")
    if value == int(value) and abs(value) < 1e21:
        return "-0" if value == 0 and math.copysign(1, value) < 0 else str(int(value))
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f")
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}" if abs(value) >= 1 else _small(mantissa, exponent)


def _small(mantissa: str, exponent: str) -> str:
    # Go's JSON drops the zero of a one-digit negative exponent: 1e-7, but 1e-10.
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
