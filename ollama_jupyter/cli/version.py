"""`ollama-jupyter version`, `-v`, `--version`."""

from __future__ import annotations

from ollama_jupyter import __version__
from ollama_jupyter.cli.commands import PROGRAM, Call
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.text import printable
from ollama_jupyter.config import API_VERSION


def version(_: Call) -> int:
    """Our version, then the server's: the one of the API it answers, or a warning that there is none."""
    print(f"{PROGRAM} version is {__version__}")
    try:
        answered = Server.find().version()
    except OllamaError:
        print("Warning: could not connect to a running Ollama instance")
        return 0
    print(f"ollama version is {printable(answered)}")
    if answered != API_VERSION:
        print(f"Warning: client version is {API_VERSION}")
    return 0
