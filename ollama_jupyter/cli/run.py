"""`ollama-jupyter run`: one answer, or a conversation."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.flags import Flag, parse_flags
from ollama_jupyter.cli.own_server import server_or_own
from ollama_jupyter.cli.repl.answer import ask
from ollama_jupyter.cli.repl.media import extract
from ollama_jupyter.cli.repl.model import Model, Thinking, find
from ollama_jupyter.cli.repl.session import Session, Settings, parse_format
from ollama_jupyter.cli.transfer import pull_model
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.text import sendable
from ollama_jupyter.durations import parse_duration

if TYPE_CHECKING:
    import ollama

_LEVELS = ("high", "medium", "low", "max")


@dataclass(frozen=True)
class Run:
    """What was asked for. `prompt` None means a conversation."""

    name: str
    prompt: str | None
    settings: Settings
    insecure: bool
    truncate: bool | None
    dimensions: int | None


def run(call: Call) -> int:
    """Run a model, with a server of our own if there is none. The exit code.

    Raises:
        OllamaError: for everything that cannot be done.
    """
    wanted = _wanted(call)
    previous = signal.signal(signal.SIGTERM, _terminated)
    try:
        with server_or_own() as server:
            _run(server, wanted)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)  # unwinds, so that the server is ended and the terminal as it was


def _wanted(call: Call) -> Run:
    flags = call.flags
    settings = Settings(
        format=parse_format(flags["format"]),
        think=parse_think(flags["think"]),
        keep_alive=_duration(flags["keepalive"]),
        wrap=not flags["nowordwrap"],
        verbose=flags["verbose"],
        hide_thinking=flags["hidethinking"],
    )
    return Run(
        call.args[0],
        _prompt(call.args[1:]),
        settings,
        flags["insecure"],
        parse_truncate(flags["truncate"]),
        flags["dimensions"] or None,
    )


def parse_think(text: str) -> Thinking:
    """The value of `--think`; "" leaves it to the server, where models that can think do.

    Raises:
        OllamaError: for anything that is none.
    """
    if text in _LEVELS:
        return text
    if text not in ("", "true", "false"):
        allowed = "must be true, false, high, medium, low, or max"
        raise OllamaError(f"invalid value for --think: {json.dumps(text, ensure_ascii=False)} ({allowed})")
    return {"": None, "true": True, "false": False}[text]


def parse_truncate(text: str) -> bool | None:
    """The value of `--truncate`; "" leaves it to the server. Raises BadRequest for anything that is no boolean."""
    if not text:
        return None
    _, values = parse_flags([f"--truncate={text}"], [Flag("truncate", "")])
    return bool(values["truncate"])


def _duration(text: str) -> str | None:
    """The text of `--keepalive`, checked."""
    try:
        parse_duration(text or "0")
    except ValueError as error:
        raise OllamaError(str(error)) from None
    return text or None


def _prompt(words: list[str]) -> str | None:
    """What is piped in, then the words of the command line. None if neither is there and both ends are a terminal."""
    piped = sys.stdin is not None and not sys.stdin.isatty()
    if piped:
        text = sys.stdin.buffer.read().decode(errors="replace")
        words = [text, *words] if text else words
    if words or piped or not sys.stdout.isatty():
        return sendable(" ".join(words))
    return None


def _run(server: Server, wanted: Run) -> None:
    model = find(server, wanted.name) or _pulled(server, wanted)
    if "embedding" in model.capabilities:
        _embed(server, model, wanted)
    elif "image" in model.capabilities:
        raise OllamaError("image generation models are not currently supported")
    elif wanted.prompt is None:
        from ollama_jupyter.cli.repl.loop import converse

        converse(Session(server, model, wanted.settings))
    else:
        _generate(server, model, wanted.prompt, wanted.settings)


def _pulled(server: Server, wanted: Run) -> Model:
    with server.answering(), server.client() as client:
        pull_model(client, wanted.name, insecure=wanted.insecure)
    model = find(server, wanted.name)
    if model is None:
        raise OllamaError(f"model '{wanted.name}' not found")
    return model


def _generate(server: Server, model: Model, prompt: str, settings: Settings) -> None:
    images: list[bytes] = []
    if model.takes_files:
        prompt, images = extract(prompt)

    def start(client: ollama.Client) -> Any:
        return client.generate(model=model.name, prompt=prompt, images=images or None, **settings.request)

    answer = ask(server, start, wrap=settings.wrap, hide_thinking=settings.hide_thinking)
    if answer.final is None:  # Ctrl-C
        if answer.text and sys.stdout.isatty():
            print()
        return
    if prompt:
        print("\n", flush=True)
    answer.report(verbose=settings.verbose)


def _embed(server: Server, model: Model, wanted: Run) -> None:
    """Print the embedding as one JSON array."""
    if not wanted.prompt:
        usage = f'Usage: ollama-jupyter run {model.name} "your text here"'
        raise OllamaError(f"embedding models require input text. {usage}")
    with server.answering(), server.client() as client:
        embeddings = client.embed(
            model=model.name,
            input=wanted.prompt,
            truncate=wanted.truncate,
            dimensions=wanted.dimensions,
            keep_alive=wanted.settings.keep_alive,
        ).embeddings
    if not embeddings:
        raise OllamaError("no embeddings returned")
    print(json.dumps(list(embeddings[0]), separators=(",", ":")))
