"""The slash commands, by Ollama's names and with its answers."""

from __future__ import annotations

from collections.abc import Callable

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.models import list_models
from ollama_jupyter.cli.repl import model as models
from ollama_jupyter.cli.repl.help import explain
from ollama_jupyter.cli.repl.media import paths
from ollama_jupyter.cli.repl.session import Session
from ollama_jupyter.cli.repl.set import Set
from ollama_jupyter.cli.repl.show import show
from ollama_jupyter.client.errors import OllamaError

NAMES = ("/set", "/show", "/load", "/save", "/clear", "/list", "/help", "/?", "/bye", "/exit")


class Quit(Exception):
    """`/bye`."""


class Commands:
    """What begins with a slash. `keep_history` is called with whether typed lines are to be written down."""

    def __init__(self, session: Session, keep_history: Callable[[bool], None]) -> None:
        self._session = session
        self._set = Set(session, keep_history)
        self._known: dict[str, Callable[[str], None]] = {
            "/set": self._set.run,
            "/show": lambda rest: show(session, rest),
            "/load": self._load,
            "/save": self._save,
            "/clear": self._clear,
            "/list": self._list,
            "/help": self._help,
            "/?": self._help,
            "/bye": self._bye,
            "/exit": self._bye,
        }

    def run(self, line: str) -> bool:
        """Do what the line says. False if it is a message that only begins with a path.

        Raises:
            OllamaError: for what could not be done.
            Quit: if it asks for the end.
        """
        word, *rest = line.split(maxsplit=1)
        command = self._known.get(word)
        if command is not None:
            command("".join(rest).strip())
            return True
        if self._session.model.takes_files and any(path.startswith(word) for path in paths(line)):
            return False
        print(f"Unknown command '{word}'. Type /? for help")
        return True

    def _load(self, rest: str) -> None:
        session, settings = self._session, self._session.settings
        if len(rest.split()) != 1:
            print("Usage:\n  /load <modelname>")
            return
        print(f"Loading model '{rest}'")
        found = models.find(session.server, rest)
        if found is None:
            print(f"Couldn't find model '{rest}'")
            return
        models.load(session.server, rest, keep_alive=settings.keep_alive, think=settings.think)
        session.model = found
        session.turns.clear()

    def _save(self, rest: str) -> None:
        session, settings = self._session, self._session.settings
        if len(rest.split()) != 1:
            print("Usage:\n  /save <modelname>")
            return
        try:
            models.save(
                session.server,
                rest,
                session.model.origin,
                system=settings.system,
                parameters=settings.options,
                messages=[*session.model.messages, *session.turns],
            )
        except OllamaError as error:
            if "invalid model name" not in error.message:
                raise
            print(f"error: The model name '{rest}' is invalid")
            return
        print(f"Created new model '{rest}'")

    def _clear(self, _: str) -> None:
        self._session.turns.clear()
        print("Cleared session context")

    def _list(self, rest: str) -> None:
        list_models(Call(rest.split(), {}))

    def _help(self, rest: str) -> None:
        explain(*rest.split()[:1], takes_files=self._session.model.takes_files)

    def _bye(self, _: str) -> None:
        raise Quit
