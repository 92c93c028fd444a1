"""Go's fmt.Sprint, Sprintln and Sprintf, as far as templates can call them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ollama_jupyter.prompt.gotemplate.lexer import quote
from ollama_jupyter.prompt.gotemplate.values import float_text, kind, prints_json, text_of, type_name
from ollama_jupyter.prompt.limits import Budget

_VERB = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?(?P<verb>.)?", re.DOTALL)
# Go refuses widths beyond a million too; nothing in a prompt needs more than this.
_MAX_WIDTH = 1000
_INT_VERBS = {"d": "d", "v": "d", "b": "b", "o": "o", "x": "x", "X": "X"}


def sprint(values: Sequence[Any], budget: Budget) -> str:
    """Operands joined, with a space between two of which neither is a string."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append(text_of(value, budget))
    return join(parts, budget)


def sprintln(values: Sequence[Any], budget: Budget) -> str:
    return join([" ".join(text_of(value, budget) for value in values), "\n"], budget)


def join(parts: Sequence[str], budget: Budget) -> str:
    budget.characters(sum(map(len, parts)))
    return "".join(parts)


def sprintf(template: str, values: Sequence[Any], budget: Budget) -> str:
    """`%` verbs v s q d b o x X c U t e f g T, with flags, width, precision and `*`; mistakes show as Go shows them."""
    parts: list[str] = []
    arguments = list(values)
    done = 0
    for match in _VERB.finditer(template):
        parts += template[done : match.start()], _verb(match, arguments, budget)
        budget.characters(len(parts[-1]))
        done = match.end()
    parts.append(template[done:])
    if arguments:
        extra = ", ".join(
            "<nil>" if value is None else f"{type_name(value)}={text_of(value, budget)}" for value in arguments
        )
        parts.append(f"%!(EXTRA {extra})")
    return join(parts, budget)


def _verb(match: re.Match[str], arguments: list[Any], budget: Budget) -> str:
    flags, width_text, precision_text, verb = match[1], match[2], match[3], match["verb"]
    if verb is None:
        return "%!(NOVERB)"
    if verb == "v":
        # With v it asks for the names of struct fields, not for a sign.
        flags = flags.replace("+", "")
    width = _number(width_text, arguments)
    # A bare point is a precision of 0.
    has_point = "." in match[0][len(match[1]) + 1 : -1]
    precision = _number(precision_text, arguments) if precision_text else 0 if has_point else None
    if verb == "%":
        return "%"
    if not arguments:
        return f"%!{verb}(MISSING)"
    text = _formatted(arguments.pop(0), verb, flags, precision, budget)
    return _padded(text, flags, width or 0)


def _number(text: str | None, arguments: list[Any]) -> int | None:
    if text != "*":
        return min(int(text[:9]), _MAX_WIDTH) if text else None
    value = arguments.pop(0) if arguments else None
    return max(-_MAX_WIDTH, min(value, _MAX_WIDTH)) if isinstance(value, int) else None


def _padded(text: str, flags: str, width: int) -> str:
    if "-" in flags or width < 0:
        return text.ljust(abs(width))
    if "0" in flags:
        sign = text[:1] if text[:1] in ("+", "-") else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _formatted(value: Any, verb: str, flags: str, precision: int | None, budget: Budget) -> str:
    if verb == "T":
        return type_name(value)
    if value is None:
        return "<nil>" if verb == "v" else f"%!{verb}(<nil>)"
    by_kind = _BY_KIND.get(kind(value))
    if by_kind:
        text = by_kind(value, verb, flags, precision)
    elif verb != "v" and isinstance(value, list) and not prints_json(value):
        return "[" + " ".join(_formatted(item, verb, flags, precision, budget) for item in value) + "]"
    else:
        text = _other(value, verb, budget)
    if text is None:
        return f"%!{verb}({type_name(value)}={text_of(value, budget)})"
    return text


def _string(value: str, verb: str, flags: str, precision: int | None) -> str | None:
    cut = value if precision is None else value[:precision]
    if verb == "v" and "#" in flags:
        return quote(cut)
    if verb in "vs":
        return cut
    if verb == "q":
        return f"`{cut}`" if "#" in flags and "`" not in cut else quote(cut)
    if verb in "xX":
        digits = cut.encode("utf-8", "replace").hex()
        return digits.upper() if verb == "X" else digits
    return None


def _int(value: int, verb: str, flags: str, precision: int | None) -> str | None:
    if verb in _INT_VERBS:
        digits = format(abs(value), _INT_VERBS[verb]).rjust(precision or 0, "0")
        prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
        return _sign(value < 0, flags) + prefix + digits
    if verb in "cqU" and 0 <= value < 0x110000:
        return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb]
    return None


def _float(value: float, verb: str, flags: str, precision: int | None) -> str | None:
    sign = _sign(value < 0, flags)
    if verb in "vgG" and precision is None:
        text = float_text(abs(value))
        return sign + (text.upper() if verb == "G" else text)
    if verb in "eEfFgGv":
        return sign + format(abs(value), f".{6 if precision is None else precision}{verb.replace('v', 'g')}")
    return None


_BY_KIND: dict[str, Callable[[Any, str, str, int | None], str | None]] = {
    "string": _string,
    "int": _int,
    "float": _float,
}


def _sign(negative: bool, flags: str) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _other(value: Any, verb: str, budget: Budget) -> str | None:
    if verb == "v" or (verb == "t" and isinstance(value, bool)):
        return text_of(value, budget)
    return text_of(value, budget) if verb == "s" and not isinstance(value, bool) else None
