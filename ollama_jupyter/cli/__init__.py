"""The command `ollama-jupyter`. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ollama_jupyter import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo"]:  # demo and serve read their own flags
        from ollama_jupyter.cli.demo import run

        return int(run(arguments[1:]))
    if arguments[:1] == ["serve"]:
        from ollama_jupyter.cli.serve import run as serve

        return serve(arguments[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version or options.command == "version":
        print(f"ollama-jupyter version is {__version__}")
        return 0
    parser.print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ollama-jupyter", description="Private local language models inside Jupyter.")
    parser.add_argument("-v", "--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="answer the Ollama API at OLLAMA_HOST, without Jupyter")
    commands.add_parser("demo", help="run the quickstart notebook in a Jupyter server of its own")
    commands.add_parser("version", help="print the version")
    return parser
