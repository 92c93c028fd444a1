"""A Modelfile by fields, or by hand, or by both, and the model that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets
import traitlets

from ollama_jupyter.client.hangup import Hangup
from ollama_jupyter.client.modelfiles import create_from_modelfile
from ollama_jupyter.errors import ModelfileError
from ollama_jupyter.widgets.message import Message
from ollama_jupyter.widgets.meter import Meter
from ollama_jupyter.widgets.panel import Panel
from ollama_jupyter.widgets.parameters import Parameters
from ollama_jupyter.widgets.picker import Picker
from ollama_jupyter.widgets.recipe import Recipe, problem
from ollama_jupyter.widgets.style import styled
from ollama_jupyter.widgets.work import Outcome, Stopped

AS_IT_IS = "as it is"
TYPES = ("Q8_0", "Q4_K_M", "Q4_K_S", "F16")


class ModelfileBuilder(Panel):
    """`value` is the text of the Modelfile, `name` what the new model shall be called, `problem` what is wrong with
    the text, with its line. The fields follow the text, and the text the fields; comments do not survive the latter.
    """

    value = traitlets.Unicode()
    name = traitlets.Unicode()
    problem = traitlets.Unicode(help="read it, do not set it")

    def __init__(self, value: str = "", **kwargs: Any) -> None:
        self._recipe = Recipe()
        self._following = False  # one side is being brought up to date with the other
        self._base = Picker("Base")
        self._system = ipywidgets.Textarea(
            description="System", placeholder="How the model shall behave", tooltip="System prompt", rows=3
        )
        self._template = ipywidgets.Textarea(
            description="Template", placeholder="The base model's own", tooltip="Prompt template", rows=3
        )
        self._parameters = Parameters(self._fields_changed)
        self._text = ipywidgets.Textarea(description="Text of the Modelfile", rows=8)
        self._problem = Message()
        self._name = ipywidgets.Text(description="Name", placeholder="my-model", tooltip="Name of the new model")
        self._type = ipywidgets.Dropdown(
            options=[(AS_IT_IS, ""), *((kind, kind) for kind in TYPES)],
            description="Weights",
            tooltip="Type in which the weights are stored; F16 or F32 weights can be made smaller",
        )
        self._button = ipywidgets.Button(description="Create", button_style="primary", tooltip="Create the model")
        self._meter = Meter()
        super().__init__(value=value, **kwargs)
        styled(self, "broad")
        styled(self._type, "short")
        self._connect()
        self._compose(self._parts())
        self.refresh()

    def _parts(self) -> list[ipywidgets.Widget]:
        return [
            styled(ipywidgets.HBox([self._base]), "row"),
            styled(self._system, "field"),
            styled(self._template, "field", "code"),
            self._parameters,
            ipywidgets.HTML('<div class="ollama-heading">Modelfile</div>'),
            styled(self._text, "code", "unlabelled"),
            self._problem,
            styled(ipywidgets.HBox([self._name, self._type, self._button]), "row"),
            self._meter,
        ]

    def _connect(self) -> None:
        traitlets.link((self, "value"), (self._text, "value"))
        traitlets.link((self, "name"), (self._name, "value"))
        self.observe(self._text_changed, "value")
        self.observe(self._forget, ["value", "name"])
        self._base.observe(self._fields_changed, "name")
        self._system.observe(self._fields_changed, "value")
        self._template.observe(self._fields_changed, "value")
        self.observe(self._show_busy, "busy")
        self._button.on_click(self._pressed)
        if self.value:
            self._text_changed()

    # ---- text and fields ------------------------------------------------------------------------------------------

    def _text_changed(self, _: object = None) -> None:
        self._show_problem()
        if self._following:
            return
        try:
            self._recipe = Recipe.read(self.value)
        except ModelfileError:
            return
        self._following = True
        try:
            self._base.name = self._recipe.base
            self._system.value, self._template.value = self._recipe.system, self._recipe.template
            self._parameters.show(self._recipe.parameters)
        finally:
            self._following = False

    def _fields_changed(self, _: object = None) -> None:
        if self._following:
            return
        self._recipe = Recipe(
            self._base.name,
            self._system.value,
            self._template.value,
            self._parameters.parameters,
            self._recipe.rest,
        )
        self._following = True
        try:
            self.value = str(self._recipe)
        finally:
            self._following = False
        self._show_problem()

    def _forget(self, _: object) -> None:
        """What was said of another text or name is no longer true."""
        if not self.busy:
            self._say("")

    def _show_problem(self) -> None:
        self.problem = problem(self.value)
        self._problem.say(self.problem, error=True)
        self._button.disabled = bool(self.problem) and not self.busy

    # ---- what the user does ---------------------------------------------------------------------------------------

    def create(self) -> None:
        """Create the model. Returns at once; `wait()` waits for the end."""
        name = self.name.strip()
        if self.busy:
            return None
        if self.problem or not name:
            return self._say(self.problem or "Give the new model a name.", error=True)
        self._say("")
        self._meter.begin()
        text, quantize = self.value, self._type.value
        self._start(lambda hangup: self._make(name, text, quantize, hangup), lambda outcome: self._ended(name, outcome))
        return None

    def refresh(self) -> None:
        """Ask the server anew which models there are to begin with."""
        self._trying(lambda: self._base.offer([model.model for model in self._models()]))

    def _pressed(self, _: object) -> None:
        if self.busy:
            self.stop()
        else:
            self.create()

    # ---- the server, on the work's thread -------------------------------------------------------------------------

    def _make(self, name: str, text: str, quantize: str, hangup: Hangup) -> None:
        def take(line: Any) -> None:
            if hangup:
                raise Stopped
            self._meter.take(line)

        server = self.server
        with server.answering(), server.client(hangup=hangup) as client:
            create_from_modelfile(client, name, text, Path.cwd(), quantize=quantize, on_progress=take)

    def _ended(self, name: str, outcome: Outcome) -> None:
        self._meter.end()
        if outcome.error:
            return self._say(outcome.error, error=True)
        if outcome.was_stopped:
            return self._say("Cancelled. Nothing was created.")
        self.refresh()
        return self._say(f"Created {name}. Ask it in a cell that begins with %%ollama {name}")

    # ---- what is shown --------------------------------------------------------------------------------------------

    def _show_busy(self, _: object) -> None:
        self._button.description = "Cancel" if self.busy else "Create"
        self._button.tooltip = "Cancel" if self.busy else "Create the model"
        self._button.button_style = "" if self.busy else "primary"
        self._show_problem()

    def __repr__(self) -> str:
        return f"ModelfileBuilder(name={self.name!r})"
