"""The sub-commands of `%ollama`. Each takes the session and its operands, and returns what the cell shows."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.units import ago, from_now, size
from ollama_jupyter.notebook import transfers
from ollama_jupyter.notebook.arguments import help_text
from ollama_jupyter.notebook.lines import Lines
from ollama_jupyter.notebook.session import Session, default_model, same_name
from ollama_jupyter.notebook.tables import Table, facts

if TYPE_CHECKING:
    import ollama


def run(session: Session, name: str, arguments: Namespace) -> Table | Lines | None:
    """Do what `%ollama NAME` means. Raises OllamaError."""
    return _COMMANDS[name](session, arguments)


def _status(session: Session, _: Namespace) -> Table:
    version = session.server.version()
    names = session.names()
    loaded = _loaded(session)
    return facts(
        ("server", f"{session.server.shown}, version {version}"),
        ("model", _model_or_reason(session, names)),
        ("models", f"{len(names)} (see %ollama list)"),
        ("loaded", ", ".join(map(_loaded_words, loaded)) or "none"),
        ("conversation", _conversation(session, loaded)),
    )


def _loaded_words(model: Any) -> str:
    return f"{model.model} ({size(model.size)}, {from_now(model.expires_at, _now())})"


def _conversation(session: Session, loaded: list[Any]) -> str:
    text = str(session.conversation)
    context = next((m.context_length for m in loaded if m.context_length), None)
    return f"{text} of {context}" if session.conversation.turns and context and len(loaded) == 1 else text


def _model_or_reason(session: Session, names: list[str]) -> str:
    try:
        return session.chosen or default_model(names)
    except OllamaError as error:
        return f"none: {error.message}"


def _list(session: Session, _: Namespace) -> Table:
    with session.server.answering(), session.server.client() as client:
        models = client.list().models
    rows = [[*_identity(m), ago(m.modified_at, _now())] for m in models]
    return Table(("NAME", "ID", "SIZE", "MODIFIED"), rows, empty="no models yet")


def _ps(session: Session, _: Namespace) -> Table:
    rows = [[*_identity(m), str(m.context_length or "-"), from_now(m.expires_at, _now())] for m in _loaded(session)]
    return Table(("NAME", "ID", "SIZE", "CONTEXT", "UNTIL"), rows, empty="no model is loaded")


def _identity(model: Any) -> tuple[str, str, str]:
    return model.model or "", (model.digest or "")[:12], size(model.size)


def _loaded(session: Session) -> list[Any]:
    with session.server.answering(), session.server.client() as client:
        return list(client.ps().models)


def _show(session: Session, arguments: Namespace) -> Table:
    with session.server.answering(), session.server.client() as client:
        shown = client.show(arguments.model)
    return _model_facts(arguments.model, shown)


def _model_facts(name: str, shown: ollama.ShowResponse) -> Table:
    details, info = shown.details, shown.modelinfo or {}
    architecture = str(info.get("general.architecture", ""))
    return facts(
        ("model", name),
        ("architecture", architecture),
        ("parameters", (details and details.parameter_size) or ""),
        ("context length", str(info.get(f"{architecture}.context_length", ""))),
        ("embedding length", str(info.get(f"{architecture}.embedding_length", ""))),
        ("quantization", (details and details.quantization_level) or ""),
        ("capabilities", ", ".join(shown.capabilities or [])),
        ("options", ", ".join(" ".join(line.split()) for line in (shown.parameters or "").splitlines())),
        ("license", next(iter((shown.license or "").strip().splitlines()), "")),
    )


def _use(session: Session, arguments: Namespace) -> None:
    if arguments.model:
        session.chosen = session.known(arguments.model)
    print(f"{session.model()} answers from here on" if arguments.model else session.model())


def _stop(session: Session, arguments: Namespace) -> None:
    with session.server.answering(), session.server.client() as client:
        client.generate(model=arguments.model, keep_alive=0)
    print(f"unloaded '{arguments.model}'")


def _copy(session: Session, arguments: Namespace) -> None:
    with session.server.answering(), session.server.client() as client:
        client.copy(arguments.source, arguments.destination)
    print(f"copied '{arguments.source}' to '{arguments.destination}'")


def _remove(session: Session, arguments: Namespace) -> None:
    for name in arguments.model:
        with session.server.answering(), session.server.client() as client:
            delete(client, name)
        print(f"deleted '{name}'")
        if same_name(name, session.chosen):
            session.chosen = ""


def delete(client: ollama.Client, name: str) -> None:
    """Unload and delete a model. One that cannot even be unloaded, such as a damaged one, is deleted all the same."""
    from ollama import ResponseError

    with suppress(ResponseError):
        client.generate(model=name, keep_alive=0)
    client.delete(name)


def _reset(session: Session, _: Namespace) -> None:
    session.conversation.clear()
    print("the conversation starts anew")


def _version(session: Session, _: Namespace) -> None:
    from ollama_jupyter import __version__

    print(f"server {session.server.version()}, ollama_jupyter {__version__}")


def _help(_: Session, __: Namespace) -> None:
    print(help_text())


def _now() -> datetime:
    return datetime.now(timezone.utc)


_COMMANDS: dict[str, Callable[[Session, Namespace], Table | Lines | None]] = {
    "": _status,
    "list": _list,
    "ps": _ps,
    "show": _show,
    "use": _use,
    "stop": _stop,
    "cp": _copy,
    "rm": _remove,
    "reset": _reset,
    "version": _version,
    "help": _help,
    **transfers.COMMANDS,
}
