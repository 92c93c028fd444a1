"""The flags of a command line, by the rules and in the words of the library that Ollama's CLI is built on.

Flags and operands may be mixed; `--` ends the flags. A value follows after `=` or as the next argument, of a short
flag also at once. Booleans take a value only after `=`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ollama_jupyter.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Flag:
    """`--name`, also `-short`. `kind` is bool, str, int or float; `bare` is the value of a flag given without one."""

    name: str
    help: str
    short: str = ""
    kind: type = bool
    default: Any = None
    bare: str = ""

    @property
    def initial(self) -> Any:
        return self.kind() if self.default is None else self.default

    @property
    def alone(self) -> str:
        """What it means without a value; "" if it needs one."""
        return self.bare or ("true" if self.kind is bool else "")

    @property
    def shown(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class HelpWanted(Exception):
    """`-h` or `--help` was among the arguments."""


def parse_flags(
    argv: Sequence[str], flags: Sequence[Flag], *, single_dash: bool = False
) -> tuple[list[str], dict[str, Any]]:
    """The operands, and every flag's value by its name with `_` for `-`.

    `single_dash` reads `-name` as `--name`, as the programs of Go's own flag library do.

    Raises:
        BadRequest: in the library's words.
        HelpWanted: for `-h` and `--help`, where the command has no flag of that name.
    """
    reader = _Reader(argv, flags, single_dash)
    reader.read()
    return reader.operands, reader.values


class _Reader:
    def __init__(self, argv: Sequence[str], flags: Sequence[Flag], single_dash: bool) -> None:
        self._rest = iter(argv)
        self._long = {flag.name: flag for flag in flags}
        self._short = {flag.short: flag for flag in flags if flag.short}
        self._single_dash = single_dash
        self.operands: list[str] = []
        self.values: dict[str, Any] = {_key(flag): flag.initial for flag in flags}

    def read(self) -> None:
        for argument in self._rest:
            if argument == "--":
                self.operands += self._rest
            elif argument.startswith("--"):
                self._read_long(argument[2:])
            elif argument.startswith("-") and argument != "-":
                self._read_dash(argument[1:])
            else:
                self.operands.append(argument)

    def _read_dash(self, text: str) -> None:
        if self._single_dash and text.partition("=")[0] not in self._short:
            self._read_long(text)
        else:
            self._read_short(text)

    def _read_long(self, text: str) -> None:
        name, equals, value = text.partition("=")
        flag = self._long.get(name)
        if flag is None:
            if name in ("help", "h"):
                raise HelpWanted
            raise BadRequest(f"unknown flag: --{name}")
        if not equals:
            value = flag.alone or self._next(f"--{name}")
        self._set(flag, value)

    def _read_short(self, text: str) -> None:
        """A group of short flags: booleans, then at most one with a value."""
        for at, letter in enumerate(text):
            flag = self._short.get(letter)
            if flag is None:
                if letter == "h":
                    raise HelpWanted
                raise BadRequest(f"unknown shorthand flag: '{letter}' in -{text}")
            tail = text[at + 1 :]
            if tail.startswith("=") or (tail and not flag.alone):
                return self._set(flag, tail.removeprefix("="))
            self._set(flag, flag.alone or self._next(f"'{letter}' in -{text}"))
        return None

    def _next(self, wanted_by: str) -> str:
        for value in self._rest:
            return value
        raise BadRequest(f"flag needs an argument: {wanted_by}")

    def _set(self, flag: Flag, text: str) -> None:
        try:
            self.values[_key(flag)] = _CONVERTERS[flag.kind](text)
        except ValueError:
            reason = f'{_GO_NAMES[flag.kind]}: parsing "{text}": invalid syntax'
            raise BadRequest(f'invalid argument "{text}" for "{flag.shown}" flag: {reason}') from None


def _key(flag: Flag) -> str:
    return flag.name.replace("-", "_")


def _bool(text: str) -> bool:
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError(text)


_CONVERTERS: Mapping[type, Callable[[str], Any]] = {bool: _bool, str: str, int: int, float: float}
_GO_NAMES = {bool: "strconv.ParseBool", int: "strconv.ParseInt", float: "strconv.ParseFloat"}


def usage_lines(flags: Sequence[Flag]) -> Iterator[str]:
    """The flags with their meanings, one a line, sorted by name."""
    rows = [(_left(flag), _meaning(flag)) for flag in sorted(flags, key=lambda flag: flag.name)]
    width = max((len(left) for left, _ in rows), default=0)
    return (f"{left:<{width}}   {meaning}".rstrip() for left, meaning in rows)


def _left(flag: Flag) -> str:
    name = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
    kind = {bool: "", str: " string", int: " int", float: " float"}[flag.kind]
    return f'{name}{kind}[="{flag.bare}"]' if flag.bare else name + kind


def _meaning(flag: Flag) -> str:
    if not flag.default:
        return flag.help
    default = f'"{flag.default}"' if flag.kind is str else f"{flag.default}"
    return f"{flag.help} (default {default})"
