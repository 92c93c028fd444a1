"""The command `ollama-jupyter`. Everything heavy is imported inside the command that needs it.

Results go to stdout; progress, warnings and `Error: …` to stderr. Exit codes: 0, 1 for every failure and misuse,
130 after Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ollama_jupyter.errors import OllamaJupyterError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    _open_outputs()
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `… | head`: whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OllamaJupyterError as error:
        return _fail(error.message)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _fail(f"{name}{error.strerror or error}")


def _open_outputs() -> None:
    """Both outputs as something that can be written to, whatever is said: a model says what no locale foresaw."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until we end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fail(message: str) -> int:
    from ollama_jupyter.client.text import printable

    print("Error: " + "\n".join(map(printable, message.split("\n"))), file=sys.stderr)
    return 1


def _main(argv: list[str]) -> int:
    name, rest = (argv[0], argv[1:]) if argv else ("help", [])
    if name in ("-v", "--version"):
        name = "version"
    if name in ("-h", "--help", "help"):
        return _help(rest if name == "help" else [])
    return _run(name, rest)


def _help(topics: list[str]) -> int:
    from ollama_jupyter.cli.commands import find
    from ollama_jupyter.cli.help import command_help, root_help

    command = find(topics[0]) if topics else None
    if topics and command is None:
        print(f"Unknown help topic {topics}", file=sys.stderr)
    print(command_help(command) if command else root_help())
    return 0


def _run(name: str, argv: list[str]) -> int:
    from importlib import import_module

    from ollama_jupyter.cli.commands import Call, find
    from ollama_jupyter.cli.flags import HelpWanted, parse_flags

    command = find(name)
    if command is None:
        return _fail_unknown(name)
    module, _, function = command.target.partition(":")
    try:
        call = Call(*parse_flags(argv, command.flags, single_dash=command.single_dash))
    except HelpWanted:
        return _help([command.name])
    _check_count(len(call.args), command.least, command.most)
    if command.needs_server:
        from ollama_jupyter.cli.server import look_for

        look_for()
    return int(getattr(import_module(f"ollama_jupyter.cli.{module}"), function)(call))


def _check_count(given: int, least: int, most: int | None) -> None:
    from ollama_jupyter.errors import BadRequest

    if least == most and given != least:
        raise BadRequest(f"accepts {least} arg(s), received {given}")
    if given < least:
        raise BadRequest(f"requires at least {least} arg(s), only received {given}")
    if most is not None and given > most:
        raise BadRequest(f"accepts at most {most} arg(s), received {given}")


def _fail_unknown(name: str) -> int:
    from ollama_jupyter.cli.commands import PROGRAM, like

    if name.startswith("--"):
        return _fail(f"unknown flag: {name.partition('=')[0]}")
    if name.startswith("-") and len(name) > 1:
        return _fail(f"unknown shorthand flag: '{name[1]}' in {name}")
    code = _fail(f'unknown command "{name}" for "{PROGRAM}"')
    meant = like(name)
    if meant:
        print("\nDid you mean this?", *(f"\t{known}" for known in meant), "", sep="\n", file=sys.stderr)
    return code
