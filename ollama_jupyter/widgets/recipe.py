"""A Modelfile's text and the fields that stand for it: from one to the other, and what is wrong with a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ollama_jupyter.errors import BadRequest, ModelfileError
from ollama_jupyter.messages import OPTIONS, check_option
from ollama_jupyter.modelfile import Command, Modelfile, format_value, parse, parse_parameter

Parameter = tuple[str, Any]
"""A name of OPTIONS and a typed value; each of several `stop` texts is a parameter of its own."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the fields hold. `rest` are the instructions that have no field: MESSAGE, LICENSE, ADAPTER and so on."""

    base: str = ""
    system: str = ""
    template: str = ""
    parameters: tuple[Parameter, ...] = ()
    rest: tuple[Command, ...] = ()

    @classmethod
    def read(cls, text: str) -> Recipe:
        """The fields of a Modelfile.

        Raises:
            ModelfileError: for what is wrong with it, with the line.
        """
        modelfile = checked(text)
        commands = modelfile.commands
        bases = [command for command in commands if command.name == "model"]
        return cls(
            base=bases[0].args,
            system=modelfile.last("system"),
            template=modelfile.last("template"),
            parameters=tuple((c.name, _value(c)) for c in commands if c.name in OPTIONS),
            rest=(*bases[1:], *(c for c in commands if c.name not in ("model", "system", "template", *OPTIONS))),
        )

    def __str__(self) -> str:
        """The Modelfile."""
        return "".join(f"{_written(command)}\n" for command in self._commands())

    def _commands(self) -> Iterator[Command]:
        if self.base:
            yield Command("model", self.base)
        if self.template:
            yield Command("template", self.template)
        if self.system:
            yield Command("system", self.system)
        for name, value in self.parameters:
            if value == "":  # a stop text that is still to be typed
                continue
            yield Command(name, format_value(value))
        yield from self.rest


def _value(command: Command) -> Any:
    value = parse_parameter(command.name, command.args)
    return value[0] if isinstance(value, list) else value


def _written(command: Command) -> str:
    """The command's line; in triple quotes if it would not be read again as it was meant."""
    text = str(command)
    try:
        is_same = parse(f"FROM x\n{text}\n").commands[1:] == (command,)
    except BadRequest:
        is_same = False
    if is_same or '"""' in command.args or not text.endswith(command.args):
        return text
    return f'{text[: len(text) - len(command.args)]}"""{command.args}"""'


def checked(text: str) -> Modelfile:
    """The Modelfile, if the server would take it.

    Raises:
        ModelfileError: for what is wrong with it, with the line.
    """
    modelfile = parse(text)
    _ = modelfile.parameters
    for command in modelfile.commands:
        _check(command)
    return modelfile


def _check(command: Command) -> None:
    try:
        if command.name in OPTIONS:
            check_option(command.name, parse_parameter(command.name, command.args))
        elif command.name == "requires":
            _ = Modelfile((command,)).requires
    except BadRequest as error:
        raise ModelfileError(error.message, command.line) from None


def problem(text: str) -> str:
    """What is wrong with a Modelfile, beginning with the line; empty if nothing is."""
    try:
        checked(text)
    except ModelfileError as error:
        said = re.sub(r"^\(line \d+\): ", "", error.message)
        return f"Line {error.line}: {said}" if error.line else f"{said[:1].upper()}{said[1:]}"
    return ""


def unused(parameters: Sequence[Parameter]) -> list[str]:
    """The options that may still be added: `stop` as often as one likes."""
    taken = {name for name, _ in parameters} - {"stop"}
    return [name for name in OPTIONS if name not in taken]
