"""Modelfiles: text to a list of commands and back, by the rules of Ollama's parser (parser/parser.go).

Commands are named as there: `model` for FROM, `message` with `role: text`, and a PARAMETER by the parameter's own name.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ollama_jupyter.errors import BadRequest, ModelfileError
from ollama_jupyter.messages import OPTIONS, Message

log = logging.getLogger("ollama_jupyter")

_INSTRUCTIONS = (
    "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", "parameter", "message",
    "requires",
)  # fmt: skip
_ROLES = ("system", "user", "assistant")
_DEPRECATED = (
    "penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "mirostat", "mirostat_tau",
    "mirostat_eta",
)  # fmt: skip
_BAD_COMMAND = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)
_BAD_ROLE = 'message role must be one of "system", "user", or "assistant"'
_END = "unexpected EOF"

_SEMVER = re.compile(
    r"v(0|[1-9]\d*)((\.(0|[1-9]\d*))?|(\.(0|[1-9]\d*)){2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)\Z", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Command:
    """One instruction, its name in lower case. `line` is where it begins, 0 for one that was never in a text."""

    name: str
    args: str
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        if self.name == "model":
            return f"FROM {self.args}"
        if self.name == "message":
            role, _, text = self.args.partition(": ")
            return f"MESSAGE {role} {quote(text)}"
        if self.name in _INSTRUCTIONS:
            return f"{self.name.upper()} {quote(self.args)}"
        return f"PARAMETER {self.name} {quote(self.args)}"


@dataclass(frozen=True)
class Modelfile:
    """A parsed Modelfile, in the order of its text."""

    commands: tuple[Command, ...] = field(default=())

    def __str__(self) -> str:
        return "".join(f"{command}\n" for command in self.commands)

    def all(self, name: str) -> list[str]:
        """The arguments of every command of this name."""
        return [command.args for command in self.commands if command.name == name]

    def last(self, name: str) -> str:
        return "".join(self.all(name)[-1:])

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(Message(role, text) for role, _, text in (args.partition(": ") for args in self.all("message")))

    @property
    def requires(self) -> str:
        """The version of REQUIRES, without its `v`.

        Raises:
            BadRequest: if it is no semantic version.
        """
        version = self.last("requires")
        if version and not _SEMVER.match("v" + version.removeprefix("v")):
            raise BadRequest("requires must be a valid semver (e.g. 0.14.0)")
        return version.removeprefix("v")

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters, typed by the table of options. `stop` accumulates; deprecated ones are left out.

        Raises:
            BadRequest: for an unknown parameter or a value of the wrong type.
        """
        found: dict[str, Any] = {}
        for command in self.commands:
            if command.name in (*_INSTRUCTIONS, "model"):
                continue
            if command.name in _DEPRECATED:
                log.warning("parameter %s is deprecated", command.name)
                continue
            value = _located(command)
            if isinstance(value, list):
                found.setdefault(command.name, []).extend(value)
            else:
                found[command.name] = value
        return found


def _located(command: Command) -> Any:
    """The value of a PARAMETER command. Raises ModelfileError."""
    try:
        return parse_parameter(command.name, command.args)
    except BadRequest as error:
        raise ModelfileError(f"(line {command.line}): {error.message}", command.line) from None


# ---- values -------------------------------------------------------------------------------------------------------


def parse_parameter(name: str, text: str) -> Any:
    """The value of PARAMETER `name`, typed; lists come with one item.

    Raises:
        BadRequest: for an unknown parameter or a value of the wrong type.
    """
    spec = OPTIONS.get(name)
    if spec is None:
        raise BadRequest(f"unknown parameter '{name}'")
    if spec.kind is list:
        return [text]
    word = spec.kind.__name__
    try:
        return _SCALARS[spec.kind](text)
    except ValueError:
        raise BadRequest(f"invalid {word} value [{text}]") from None


def _parse_int(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII) or not -(2**63) <= int(text) < 2**63:
        raise ValueError(text)
    return int(text)


def _parse_float(text: str) -> float:
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII) or abs(float(text)) > 3.4028235e38:
        raise ValueError(text)
    return float(text)


def _parse_bool(text: str) -> bool:
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError(text)


_SCALARS: dict[type, Callable[[str], Any]] = {int: _parse_int, float: _parse_float, bool: _parse_bool}


def format_value(value: object) -> str:
    """A parameter's value as Go prints it with %v: numbers bare, `1e+06` from a million up."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (int, float)):
        return str(value)
    decimal = Decimal(repr(value)).normalize()
    if not decimal.is_finite() or -4 <= decimal.adjusted() < 6 or not decimal:
        return format(decimal, "f")
    sign, digits, _ = decimal.as_tuple()
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' * sign}{mantissa}e{decimal.adjusted():+03d}"


def quote(text: str) -> str:
    """`text` as a Modelfile value: quoted only where it would not survive bare, in Ollama's two styles.

    Three quotes at the end of a line that is not the last end a value whatever stands around it.
    """
    if "\n" in text or "\r" in text or text != text.strip() or text.startswith('"'):
        return f'"""{text}"""' if '"' in text else f'"{text}"'
    return text


def _unquote(text: str) -> str | None:
    """The value inside the quotes; None while the closing ones have not come."""
    for marks in ('"""', '"'):
        if text.startswith(marks):
            closed = len(text) >= 2 * len(marks) and text.endswith(marks)
            return text[len(marks) : -len(marks)] if closed else None
    return text


# ---- the parser ---------------------------------------------------------------------------------------------------


def parse(source: str | bytes) -> Modelfile:
    """Parse a Modelfile: UTF-8 text, or bytes that may be UTF-16 with a byte order mark.

    Raises:
        ModelfileError: with Ollama's message; lines count both `\\r` and `\\n`, as there.
    """
    parser = _Parser()
    for rune in _decode(source):
        parser.feed(rune)
    commands = parser.finish()
    if not any(command.name == "model" for command in commands):
        raise ModelfileError("no FROM line")
    return Modelfile(tuple(commands))


def _decode(source: str | bytes) -> str:
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    if source.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return source.decode("utf-16", "replace")
    return source.decode("utf-8-sig", "replace")


def _is_letter(rune: str) -> bool:
    return "a" <= rune <= "z" or "A" <= rune <= "Z"


class _Parser:
    """Reads one rune at a time. States: nil, comment, name, parameter, role, value."""

    def __init__(self) -> None:
        self._state = "nil"
        self._line = 1
        self._begun = 1  # where the instruction begins that is being read
        self._text = ""
        self._name = ""
        self._role = ""
        self._commands: list[Command] = []

    def feed(self, rune: str) -> None:
        self._line += rune in "\r\n"
        getattr(self, f"_in_{self._state}")(rune)

    def finish(self) -> list[Command]:
        if self._state == "value":
            if not self._end_value():
                raise ModelfileError(_END, self._begun)
        elif self._state not in ("nil", "comment"):
            raise ModelfileError(_END, self._begun)
        return self._commands

    def _enter(self, state: str, text: str = "") -> None:
        self._state, self._text = state, ""
        self._keep(text)

    def _keep(self, rune: str) -> None:
        # Unprintable runes are dropped wherever they stand; blanks and line breaks of open values never come here.
        if rune.isprintable():
            self._text += rune

    def _fail(self, message: str) -> ModelfileError:
        return ModelfileError(f"(line {self._line}): {message}", self._begun)

    def _in_nil(self, rune: str) -> None:
        if rune == "#":
            self._enter("comment")
        elif rune not in " \t\r\n":
            self._begun = self._line
            self._enter("name", rune)

    def _in_comment(self, rune: str) -> None:
        if rune in "\r\n":
            self._enter("nil")

    def _in_name(self, rune: str) -> None:
        if _is_letter(rune):
            return self._keep(rune)
        word = self._text.lower()
        if rune not in " \t" or word not in _INSTRUCTIONS:
            raise self._fail(_BAD_COMMAND)
        self._name = "model" if word == "from" else word
        return self._enter({"parameter": "parameter", "message": "role"}.get(word, "value"))

    def _in_parameter(self, rune: str) -> None:
        if _is_letter(rune) or "0" <= rune <= "9" or rune == "_":
            return self._keep(rune)
        if rune not in " \t":
            raise ModelfileError(f"{_END}: {self._text}", self._begun)
        self._name = self._text
        return self._enter("value")

    def _in_role(self, rune: str) -> None:
        if _is_letter(rune):
            return self._keep(rune)
        if rune not in " \t":
            raise ModelfileError(f"{_END}: {self._text}", self._begun)
        if self._text not in _ROLES:
            raise self._fail(_BAD_ROLE)
        self._role = self._text
        return self._enter("value")

    def _in_value(self, rune: str) -> None:
        if rune in " \t":
            self._text += rune
        elif rune not in "\r\n":
            self._keep(rune)
        elif self._end_value():
            self._enter("nil")
        else:
            self._text += rune

    def _end_value(self) -> bool:
        """Add the command if its value is complete."""
        value = _unquote(self._text.strip())
        if value is None:
            return False
        text = f"{self._role}: {value}" if self._role else value
        self._commands.append(Command(self._name, text, self._begun))
        self._role = ""
        return True


def parameter_commands(params: dict[str, Any]) -> Iterator[Command]:
    """PARAMETER commands of a model's stored parameters, one for each item of a list."""
    for name, value in params.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            yield Command(name, format_value(item))
