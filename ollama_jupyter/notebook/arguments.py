"""The grammar of `%ollama` and `%%ollama`: argparse, with its exits turned into one line for the reader."""

from __future__ import annotations

import argparse
import difflib
import keyword
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from ollama_jupyter.client.errors import OllamaError


class HelpShown(Exception):
    """`-h` was given and answered; there is nothing left to do."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that neither ends the process nor prints to stderr."""

    def error(self, message: str) -> NoReturn:
        raise OllamaError(f"{message} ({' '.join(self.format_usage().split())})")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpShown


@dataclass(frozen=True, slots=True)
class Flag:
    """An option of a sub-command, with what its value is called; one without a value is a switch."""

    spellings: tuple[str, ...]
    help: str
    value: str = ""

    @property
    def usage(self) -> str:
        return f"[{' '.join(filter(None, [self.spellings[0], self.value]))}]"


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command: its operands (names of models all of them) with argparse's `nargs`, its flags, and its help."""

    name: str
    help: str
    operands: tuple[tuple[str, str | None], ...] = ()
    flags: tuple[Flag, ...] = ()

    @property
    def takes_models(self) -> bool:
        return bool(self.operands)

    @property
    def usage(self) -> str:
        marks = {None: "{}", "?": "[{}]", "+": "{}..."}
        operands = (marks[nargs].format(name.upper()) for name, nargs in self.operands)
        return " ".join([self.name, *operands, *(flag.usage for flag in self.flags)])


QUANTIZE = Flag(("-q", "--quantize"), "store the weights in this type, such as Q4_K_M", "TYPE")
INSECURE = Flag(("--insecure",), "allow a registry without https")


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("list", "the models that the server has"),
        Command("ps", "the models that are loaded, and until when"),
        Command("show", "what a model is: size, context, template parameters", (("model", None),)),
        Command("pull", "fetch a model; a second call goes on from there",
                (("model", None),), (INSECURE,)),
        Command("push", "send a model to the registry of its name", (("model", None),), (INSECURE,)),
        Command("create", "make a model from a Modelfile",
                (("model", None),), (Flag(("-f", "--file"), "the Modelfile, if not ./Modelfile", "FILE"), QUANTIZE)),
        Command("verify", "hash the files of a model, or of all, anew", (("model", "?"),),
                (Flag(("--repair",), "and mend what can be mended"),)),
        Command("scan", "look through a model for hostile content", (("model", None),)),
        Command("doctor", "examine the server's machine, and say what mends it"),
        Command("use", "choose the model that answers, or say which does", (("model", "?"),)),
        Command("stop", "unload a model", (("model", None),)),
        Command("cp", "give a model a second name", (("source", None), ("destination", None))),
        Command("rm", "delete models", (("model", "+"),)),
        Command("reset", "forget the conversation"),
        Command("version", "the versions of the server and of this package"),
        Command("help", "this list"),
    )
}  # fmt: skip
ALIASES = {"ls": "list", "delete": "rm", "copy": "cp", "unload": "stop"}


def parse_command(line: str) -> tuple[str, argparse.Namespace]:
    """The sub-command's name ("" for none) and its operands.

    Raises:
        OllamaError: for anything mistyped. HelpShown: if help was asked for.
    """
    words = split(line)
    if not words:
        return "", argparse.Namespace()
    name = ALIASES.get(words[0], words[0])
    if name in ("-h", "--help"):
        name = "help"
    if name not in COMMANDS:
        hint = suggestion(name, COMMANDS) or "`%ollama help` lists what there is"
        raise OllamaError(f"no sub-command '{name}': {hint}")
    return name, _command_parser(COMMANDS[name]).parse_args(words[1:])


def _command_parser(command: Command) -> Parser:
    parser = Parser(prog=f"%ollama {command.name}", description=command.help, allow_abbrev=False)
    for name, nargs in command.operands:
        parser.add_argument(name, nargs=nargs)
    _add_flags(parser, command.flags)
    return parser


def _add_flags(parser: Parser, flags: Iterable[Flag]) -> None:
    add: Callable[..., argparse.Action] = parser.add_argument
    for flag in flags:
        kind = {"metavar": flag.value, "default": ""} if flag.value else {"action": "store_true"}
        add(*flag.spellings, help=flag.help, **kind)


def help_text() -> str:
    width = max(len(command.usage) for command in COMMANDS.values())
    rows = [f"  %ollama {command.usage.ljust(width)}  {command.help}" for command in COMMANDS.values()]
    return "\n".join(
        [
            f"  {'%ollama'.ljust(width + 8)}  how things stand",
            *rows,
            "",
            "A cell that starts with %%ollama asks the model; `%%ollama?` tells its options.",
            "A cell that starts with %%ollama_create NAME is a Modelfile, and makes a model by it.",
        ]
    )


def prompt_parser() -> Parser:
    parser = Parser(
        prog="%%ollama",
        description="Ask a model what the rest of the cell says, and stream its answer.",
        allow_abbrev=False,
    )
    add: Callable[..., argparse.Action] = parser.add_argument
    add("model", nargs="?", default="", help="which model answers; else the one of `%%ollama use`, else the default")
    add("-o", "--output", metavar="NAME", type=_identifier, help="put the result into this variable too")
    add("-s", "--system", metavar="SYSTEM", help="system prompt, from here on in this conversation")
    add("-t", "--temperature", metavar="T", type=float, help="0 is the same answer each time, higher is freer")
    add("-n", "--tokens", metavar="TOKENS", type=int, help="at most this many tokens")
    add("--seed", metavar="N", type=int, help="makes a random answer repeatable")
    return parser


def create_parser() -> Parser:
    parser = Parser(
        prog="%%ollama_create", description="Make a model by the Modelfile in the rest of the cell.", allow_abbrev=False
    )
    parser.add_argument("model", help="the new model's name")
    _add_flags(parser, (QUANTIZE,))
    return parser


def parse_create(line: str) -> argparse.Namespace:
    """What the first line of a `%%ollama_create` cell says. Raises like parse_command."""
    return create_parser().parse_args(split(line))


PROMPT_FLAGS = ("-o", "-s", "-t", "-n", "--output", "--system", "--temperature", "--tokens", "--seed")


def parse_prompt(line: str) -> argparse.Namespace:
    """What the first line of a `%%ollama` cell says. Raises like parse_command."""
    return prompt_parser().parse_args(split(line))


def _identifier(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"'{text}' is no variable name")
    return text


def split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise OllamaError(f"cannot read the line: {str(error)[:1].lower()}{str(error)[1:]}") from None


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'X'?` for the closest known word, else nothing."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else ""
