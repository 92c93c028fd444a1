"""The sub-commands of `%ollama` that take their time and show how far they are: pull, push, create, verify.

Interrupt ends each of them, here and on the server: the server stops what nobody waits for any more.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ollama_jupyter.client import reports, routes
from ollama_jupyter.client.errors import Interrupted, OllamaError
from ollama_jupyter.client.steps import whole
from ollama_jupyter.errors import OllamaJupyterError
from ollama_jupyter.notebook.bar import Bar
from ollama_jupyter.notebook.lines import Lines
from ollama_jupyter.notebook.session import Session
from ollama_jupyter.notebook.transfer import Transfer, follow


class Progress:
    """A transfer and the bar that shows it. `take` is what a stream's lines are given to."""

    def __init__(self, bar: Bar) -> None:
        self.transfer = Transfer()
        self._bar = bar

    def take(self, line: Any) -> None:
        follow([line], self.transfer, self._bar.update)

    def take_all(self, lines: Iterable[Any]) -> None:
        follow(lines, self.transfer, self._bar.update)


@contextmanager
def shown(session: Session, done: str, resumable: str = "") -> Iterator[Progress]:
    """A bar for as long as the block lasts; then `done` and what came, or the place where it broke off.

    Raises:
        OllamaError: for everything that the server or the way to it has to complain about.
        Interrupted: on Interrupt, telling how to go on, if `resumable` is the command for that.
    """
    bar = session.bar()
    progress = Progress(bar)
    try:
        with session.server.answering():
            yield progress
    except KeyboardInterrupt:
        bar.finish(progress.transfer.place)
        raise Interrupted(_interruption(progress.transfer, resumable)) from None
    except Exception as error:
        bar.finish(progress.transfer.place)
        # What the Modelfile says wrong is found here, before the server is asked: one line for that, too.
        if isinstance(error, OllamaJupyterError):
            raise OllamaError(error.message) from None
        raise
    bar.finish(" · ".join(filter(None, [done, progress.transfer.summary])))


def _interruption(transfer: Transfer, resumable: str) -> str:
    if not resumable:
        return "interrupted"
    reached = f" at {transfer.amount}" if transfer.total else ""
    return f"interrupted{reached}: `{resumable}` goes on from there"


def pull(session: Session, arguments: Namespace) -> None:
    with session.server.client() as client:
        _transfer(session, client.pull, "pull", arguments)


def push(session: Session, arguments: Namespace) -> None:
    with session.server.client() as client:
        _transfer(session, client.push, "push", arguments)


def _transfer(session: Session, verb: Callable[..., Any], word: str, arguments: Namespace) -> None:
    name, insecure = arguments.model, arguments.insecure
    again = f"%ollama {word} {name}{' --insecure' if insecure else ''}"
    # Closing the stream closes the connection, which is how the server learns that nobody waits any more.
    with (
        shown(session, f"{word}ed {name}", again) as progress,
        closing(verb(name, insecure=insecure, stream=True)) as lines,
    ):
        progress.take_all(whole(lines))


def create(session: Session, arguments: Namespace) -> None:
    path = Path(arguments.file or "Modelfile").expanduser()
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        hint = "" if arguments.file else ": name one with -f, or write it in a cell that begins with %%ollama_create"
        raise OllamaError(f"no file {path}{hint}") from None
    except OSError as error:
        raise OllamaError(f"cannot read {path}: {error.strerror}") from None
    create_from(session, arguments.model, text, path.resolve().parent, arguments.quantize)


def create_from(session: Session, name: str, text: str | bytes, folder: Path, quantize: str) -> None:
    """Make `name` by a Modelfile, whose paths are relative to `folder`. Raises as `shown` does."""
    from ollama_jupyter.client.modelfiles import create_from_modelfile

    with shown(session, f"created {name}") as progress, session.server.client() as client:
        create_from_modelfile(client, name, text, folder, quantize=quantize, on_progress=progress.take)


def verify(session: Session, arguments: Namespace) -> Lines:
    with shown(session, "hashed anew") as progress:
        model = arguments.model or ""
        report = routes.verify(session.server, model, repair=arguments.repair, on_progress=progress.take)
    return Lines(reports.render_verify(report), report)


def scan(session: Session, arguments: Namespace) -> Lines:
    report = routes.scan(session.server, arguments.model)
    return Lines(reports.render_scan(report), report)


def doctor(session: Session, _: Namespace) -> Lines:
    report = routes.doctor(session.server)
    return Lines(reports.render_doctor(report), report)


COMMANDS: dict[str, Callable[[Session, Namespace], Lines | None]] = {
    "pull": pull,
    "push": push,
    "create": create,
    "verify": verify,
    "scan": scan,
    "doctor": doctor,
}
