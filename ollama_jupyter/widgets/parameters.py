"""PARAMETER lines as fields, typed by the table of options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from ollama_jupyter.messages import OPTIONS, OptionSpec
from ollama_jupyter.widgets.recipe import Parameter, unused
from ollama_jupyter.widgets.style import styled

# What a new field begins with, where the table's default is "automatic".
_FIRST: dict[str, Any] = {"num_ctx": 4096, "main_gpu": 0, "use_mmap": True, "stop": ""}


class Row(ipywidgets.HBox):  # type: ignore[misc]
    """One parameter. `changed` is called when its field changes, `remove` with the row by its button."""

    def __init__(self, name: str, value: Any, changed: Callable[[], None], remove: Callable[[Row], None]) -> None:
        self.name = name
        self.field = _field(name, value)
        self.field.observe(lambda _: changed(), "value")
        button = ipywidgets.Button(description="Remove", tooltip=f"Remove {name}")
        button.on_click(lambda _: remove(self))
        super().__init__([styled(self.field, "field", "grow"), button])
        styled(self, "row")

    @property
    def parameter(self) -> Parameter:
        return self.name, self.field.value


def _field(name: str, value: Any) -> ipywidgets.Widget:
    spec = OPTIONS[name]
    common = {"description": name, "value": value, "tooltip": explained(name, spec)}
    if spec.kind is bool:
        return ipywidgets.Dropdown(options=[("true", True), ("false", False)], **common)
    if spec.kind is list:
        return ipywidgets.Text(placeholder="text at which the answer ends", **common)
    kind = ipywidgets.IntText if spec.kind is int else ipywidgets.FloatText
    return kind(step=1 if spec.kind is int else 0.1, **common)


def explained(name: str, spec: OptionSpec) -> str:
    """`temperature: from 0 to 100, 0.8 by default`."""
    low, high = (f"{bound:g}" for bound in (spec.low, spec.high))
    bounds = f"from {low} to {high}, " if math.isfinite(spec.low) else ""
    default = "automatic" if spec.default is None else spec.default if spec.default != () else "none"
    return f"{name}: {bounds}{default} by default"


class Parameters(ipywidgets.VBox):  # type: ignore[misc]
    """The rows, and the means to add one. `changed` is called after every change that the user makes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._rows: list[Row] = []
        self._choice = ipywidgets.Dropdown(description="Parameter", tooltip="Parameter to add")
        self._add = ipywidgets.Button(description="Add", tooltip="Add this parameter")
        self._add.on_click(lambda _: self.add(self._choice.value))
        adding = styled(ipywidgets.HBox([self._choice, self._add]), "row")
        # In a box of their own: a part that changes its place among others would lose the keyboard's focus.
        self._fields = styled(ipywidgets.VBox(), "column")
        super().__init__([self._fields, adding])
        styled(self, "column")
        self._show()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(row.parameter for row in self._rows)

    def add(self, name: str) -> None:
        """Add a parameter with the value that it has by default."""
        self._rows.append(self._row(name, _FIRST.get(name, OPTIONS[name].default)))
        self._show()
        self._changed()

    def show(self, parameters: Sequence[Parameter]) -> None:
        """Show these, and tell nobody."""
        if tuple(parameters) == self.parameters:
            return
        before, self._rows = self._rows, [self._row(name, value) for name, value in parameters]
        self._show()
        for row in before:
            _close(row)

    def _remove(self, row: Row) -> None:
        self._rows.remove(row)
        self._show()
        _close(row)
        self._choice.focus()  # the button that had the focus is gone
        self._changed()

    def _row(self, name: str, value: Any) -> Row:
        return Row(name, value, self._changed, self._remove)

    def _show(self) -> None:
        free = unused(self.parameters)
        if list(self._choice.options) != free:
            self._choice.options = free
            self._choice.value = "temperature" if "temperature" in free else free[0]
        self._fields.children = self._rows
        self._fields.layout.display = None if self._rows else "none"


def _close(row: Row) -> None:
    for part in row.children:
        part.close()
    row.close()
