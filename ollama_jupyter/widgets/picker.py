"""Which model: a drop-down of those that the server has."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
import traitlets

from ollama_jupyter.config import DEFAULT_MODEL

NONE = "no models yet"


class Picker(ipywidgets.Dropdown):  # type: ignore[misc]
    """`name` is the chosen model, listed or not; "" while there is none to choose."""

    name = traitlets.Unicode()

    def __init__(self, description: str) -> None:
        self._offering = False
        super().__init__(options=[(NONE, "")], value="", description=description, tooltip="Which model answers")
        self.observe(self._picked, "value")
        self.observe(self._named, "name")

    def offer(self, names: Sequence[str]) -> None:
        """Offer these models, and keep the one that is chosen even if it is none of them."""
        chosen = self.name or (DEFAULT_MODEL if DEFAULT_MODEL in names else "".join(names[:1]))
        known = [*names, *([chosen] if chosen and chosen not in names else [])]
        self._offering = True  # new options choose their first for a moment, which nobody shall see
        self.options = [(name, name) for name in known] or [(NONE, "")]
        self.value = chosen
        self._offering = False
        self.name = chosen

    def _picked(self, change: dict[str, str]) -> None:
        if not self._offering:
            self.name = change["new"]

    def _named(self, _: object) -> None:
        self.offer([value for _, value in self.options if value])
