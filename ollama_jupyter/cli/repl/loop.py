"""The conversation itself: read, do or ask, and again."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ollama_jupyter.cli.repl import model as models
from ollama_jupyter.cli.repl.commands import Commands, Quit
from ollama_jupyter.cli.repl.history import FileHistory, history_file
from ollama_jupyter.cli.repl.prompt import PROMPT, Prompt
from ollama_jupyter.cli.repl.quotes import unquoted
from ollama_jupyter.cli.repl.session import Session
from ollama_jupyter.cli.repl.view import View, show
from ollama_jupyter.cli.repl.waiting import Waiting
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.config import Settings

NAMES_SECONDS = 1.0


def converse(session: Session) -> None:
    """Until Ctrl-D or `/bye`.

    Raises:
        OllamaError: if the model cannot be loaded. What goes wrong later is said, and the conversation goes on.
    """
    with Waiting():
        models.load(
            session.server, session.model.name, keep_alive=session.settings.keep_alive, think=session.settings.think
        )
    _replay(session)
    nohistory = Settings.from_env({"OLLAMA_NOHISTORY": os.environ.get("OLLAMA_NOHISTORY", "")}).nohistory
    history = FileHistory(history_file(), enabled=not nohistory)
    prompt = Prompt(history, lambda: _names(session))
    commands = Commands(session, lambda on: setattr(history, "enabled", on))
    with contextlib.suppress(Quit, EOFError):
        while True:
            _turn(session, prompt, commands)


def _turn(session: Session, prompt: Prompt, commands: Commands) -> None:
    try:
        text = prompt.read()
    except KeyboardInterrupt:
        print("Use Ctrl + d or /bye to exit.")
        return
    try:
        with _unechoed():
            _take(session, commands, text)
    except OllamaError as error:
        show(f"error: {error.message}\n")
    except KeyboardInterrupt:  # in the middle of a command
        print()


def _take(session: Session, commands: Commands, text: str) -> None:
    """A command, or a message; several lines are always a message."""
    is_command = text.startswith("/") and ("\n" not in text or text.startswith("/set "))
    if is_command and commands.run(text):
        return
    message = unquoted(text)
    if message.strip():
        session.say(message)


def _replay(session: Session) -> None:
    """What the model's own messages say, as if it had been said here."""
    for turn in session.model.messages:
        if turn["role"] == "user":
            show(f"{PROMPT}{turn['content']}\n")
        elif turn["role"] == "assistant":
            View(Waiting(), wrap=session.settings.wrap).content(f"{turn['content']}\n\n")


def _names(session: Session) -> list[str]:
    try:
        with session.server.answering(), session.server.client(read_seconds=NAMES_SECONDS) as client:
            return [model.model or "" for model in client.list().models]
    except OllamaError:
        return []


@contextmanager
def _unechoed() -> Iterator[None]:
    """Keys pressed while the model speaks do not appear inside its words; they are there at the next prompt."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = [*before]
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
