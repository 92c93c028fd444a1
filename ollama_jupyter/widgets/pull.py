"""Fetch models, see what is there, delete what is not wanted."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import ipywidgets
import traitlets

from ollama_jupyter.client.hangup import Hangup
from ollama_jupyter.client.steps import whole
from ollama_jupyter.notebook.commands import delete
from ollama_jupyter.widgets.installed import Installed
from ollama_jupyter.widgets.meter import Meter
from ollama_jupyter.widgets.panel import Panel
from ollama_jupyter.widgets.style import styled
from ollama_jupyter.widgets.work import Outcome

HINT = "llama3.2:1b, or hf.co/user/repo:Q4_K_M"


class Pull(Panel):
    """`value` is the name in the field; `models` are the names of what the server has.

    What a cancelled pull has fetched is kept: pulling the same name again goes on from there.
    """

    value = traitlets.Unicode()
    insecure = traitlets.Bool(False, help="whether a registry may do without https")
    models = traitlets.List(traitlets.Unicode(), help="what the server has, newest first; read it, do not set it")

    def __init__(self, value: str = "", **kwargs: Any) -> None:
        self._name = ipywidgets.Text(description="Name", placeholder=HINT, tooltip="Name of the model to pull")
        self._button = ipywidgets.Button(description="Pull", button_style="primary", tooltip="Pull this model")
        self._meter = Meter()
        self._refresh = ipywidgets.Button(description="Refresh", tooltip="Ask the server anew what it has")
        self._installed = Installed(self._confirmed)
        super().__init__(value=value, **kwargs)
        traitlets.link((self, "value"), (self._name, "value"))
        self.observe(self._show_busy, "busy")
        self._button.on_click(self._pressed)
        self._name.on_msg(self._typed)
        self._refresh.on_click(lambda _: self._refreshed())
        heading = styled(ipywidgets.HTML('<div class="ollama-heading">Installed</div>'), "grow")
        self._compose(
            [
                styled(ipywidgets.HBox([self._name, self._button]), "row"),
                self._meter,
                styled(ipywidgets.HBox([heading, self._refresh]), "row"),
                self._installed,
            ]
        )
        self.refresh()

    # ---- what the user does ---------------------------------------------------------------------------------------

    def pull(self, name: str = "") -> None:
        """Pull `name`, or what is in the field. Returns at once; `wait()` waits for the end."""
        name = (name or self.value).strip()
        if self.busy:
            return None
        if not name:
            return self._say(f"Which model? For example {HINT}.", error=True)
        self.value = name
        self._say("")
        self._meter.begin()
        self._start(lambda hangup: self._fetch(name, hangup), lambda outcome: self._ended(name, outcome))
        return None

    def refresh(self) -> None:
        """Ask the server anew what it has."""
        self._trying(self._list)

    def delete(self, name: str) -> None:
        """Delete a model, without asking back."""
        if self._trying(lambda: self._remove(name)):
            self.refresh()
            self._say(f"Deleted {name}.")

    def _confirmed(self, name: str) -> None:
        self.delete(name)
        self._name.focus()  # the row that had the focus is gone

    def _refreshed(self) -> None:
        if self._trying(self._list) and not self.busy:
            self._say("")

    def _pressed(self, _: object) -> None:
        if self.busy:
            self.stop()
        else:
            self.pull()

    def _typed(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit":
            self.pull()

    # ---- the server -----------------------------------------------------------------------------------------------

    def _list(self) -> None:
        models = self._models()
        self.models = [model.model for model in models]
        self._installed.show(models)

    def _remove(self, name: str) -> None:
        server = self.server
        with server.answering(), server.client(read_seconds=30.0) as client:
            delete(client, name)

    def _fetch(self, name: str, hangup: Hangup) -> None:
        """On the work's thread."""
        server = self.server
        with (
            server.answering(),
            server.client(hangup=hangup) as client,
            closing(client.pull(name, insecure=self.insecure, stream=True)) as lines,
        ):
            for line in whole(lines):
                self._meter.take(line)

    def _ended(self, name: str, outcome: Outcome) -> None:
        transfer = self._meter.transfer
        self._meter.end()
        if outcome.error:
            return self._say(outcome.error, error=True)
        if outcome.was_stopped:
            reached = f" at {transfer.amount}" if transfer.total else ""
            return self._say(f"Cancelled{reached}. Pull it again to go on from there.")
        self.refresh()
        summary = f": {transfer.summary}" if transfer.summary else ""
        return self._say(f"Pulled {name}{summary}.")

    # ---- what is shown --------------------------------------------------------------------------------------------

    def _show_busy(self, _: object) -> None:
        self._name.disabled = self.busy
        self._button.description = "Cancel" if self.busy else "Pull"
        self._button.tooltip = "Cancel; what has come is kept" if self.busy else "Pull this model"
        self._button.button_style = "" if self.busy else "primary"

    def __repr__(self) -> str:
        return f"Pull(value={self.value!r}, models={len(self.models)})"
