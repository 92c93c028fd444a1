"""What the three widgets share: a frame, a line of status, work in the background that ends with the widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import traitlets

from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.errors import OllamaJupyterError
from ollama_jupyter.notebook.markdown import safe_text
from ollama_jupyter.widgets.message import Message
from ollama_jupyter.widgets.style import sheet, styled
from ollama_jupyter.widgets.work import JOIN_SECONDS, Job, Outcome, Work

LIST_SECONDS = 3.0
"""How long a list of models may take: it is asked for while the kernel waits."""


class Panel(ipywidgets.VBox):  # type: ignore[misc]
    """A widget that talks to a server. `host` is its address; by default that of `OLLAMA_HOST`, looked up each time."""

    host = traitlets.Unicode()
    busy = traitlets.Bool(False, help="whether the server is working for this widget; read it, do not set it")

    def __init__(self, **kwargs: Any) -> None:
        self._work = Work()
        self._status = Message()
        super().__init__(**kwargs)
        styled(self, "panel")

    def _compose(self, parts: Sequence[ipywidgets.Widget]) -> None:
        self.children = [sheet(), *parts, self._status]

    @property
    def server(self) -> Server:
        return Server.find(self.host)

    # ---- status ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """The line at the widget's foot, as plain text."""
        return self._said

    _said = ""

    def _say(self, text: str, *, error: bool = False) -> None:
        self._said = safe_text(text)
        self._status.say(self._said, error=error)

    def _trying(self, what: Callable[[], None]) -> bool:
        """Do something short, and say what speaks against it; whether it worked."""
        try:
            what()
        except OllamaJupyterError as error:
            self._say(error.message, error=True)
            return False
        return True

    # ---- work -----------------------------------------------------------------------------------------------------

    def _start(self, job: Job, ended: Callable[[Outcome], None]) -> None:
        """Do `job` in the background. `ended` is called after it, on its thread."""

        def finish(outcome: Outcome) -> None:
            self.busy = False
            ended(outcome)

        self.busy = True
        self._work.start(job, finish)

    def stop(self, *_: object) -> None:
        """End what is going on, here and on the server; nothing happens if there is nothing."""
        self._work.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Until what is going on has ended; False if it has not after so many seconds. For scripts and tests."""
        return self._work.wait(seconds)

    def close(self) -> None:
        """End the work, and take the widget away."""
        self._work.stop()
        self._work.wait(JOIN_SECONDS)
        for part in _below(self):
            part.close()
        super().close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    # ---- the server -----------------------------------------------------------------------------------------------

    def _models(self) -> list[Any]:
        """What the server has, in its order.

        Raises:
            OllamaError: for everything that the server or the way to it has to complain about.
        """
        server = self.server
        with server.answering(), server.client(read_seconds=LIST_SECONDS) as client:
            models = list(client.list().models)
        if any(not model.model for model in models):
            raise OllamaError(f"what answers at {server.shown} is no Ollama server")
        return models


def _below(box: ipywidgets.Box) -> list[ipywidgets.Widget]:
    """All widgets inside of `box`, the innermost first."""
    found: list[ipywidgets.Widget] = []
    for child in box.children:
        found += [*(_below(child) if isinstance(child, ipywidgets.Box) else []), child]
    return found
