"""What one run of a template may cost. Templates come with strangers' models, so nothing in them is trusted.

Both template languages spend from the same kind of budget: steps stand for time, characters for memory. There is no
clock in it, so that the same template on the same messages is refused everywhere or nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from ollama_jupyter.errors import TemplateError

MAX_SOURCE = 512 * 1024
MAX_TEXT = 4 * 1024 * 1024
MAX_TOTAL_TEXT = 8 * MAX_TEXT
MAX_STEPS = 1_000_000
MAX_ITEMS = 100_000
MAX_DEPTH = 100

# Characters that cost as much time as one step.
_CHARACTERS_PER_STEP = 4096


@dataclass(slots=True)
class Budget:
    """Counts down over one run. `steps` are evaluated nodes, `text` characters made by string operations,
    `room` what may still be written."""

    steps: int = MAX_STEPS
    text: int = MAX_TOTAL_TEXT
    room: int = MAX_TEXT

    def step(self, count: int = 1) -> None:
        """Raises TemplateError when the run has taken more than its steps."""
        self.steps -= count
        if self.steps < 0:
            raise TemplateError(f"template took more than {MAX_STEPS} steps")

    def characters(self, count: int) -> None:
        """Ask before a string of `count` characters is made. Raises TemplateError when it would be too long."""
        if count > MAX_TEXT:
            raise TemplateError(f"template makes a text of more than {MAX_TEXT} characters")
        self.text -= count
        if self.text < 0:
            raise TemplateError(f"template makes more than {MAX_TOTAL_TEXT} characters in all")
        self.read(count)

    def read(self, count: int) -> None:
        """Pay for looking through `count` characters."""
        self.step(1 + count // _CHARACTERS_PER_STEP)

    def output(self, count: int) -> None:
        """Ask before `count` characters are written. Raises TemplateError when the whole would be too long."""
        self.room -= count
        if self.room < 0:
            raise TemplateError(f"template writes more than {MAX_TEXT} characters")

    def items(self, count: int) -> None:
        """Ask before a list of `count` items is made. Raises TemplateError when it would be too long."""
        if count > MAX_ITEMS:
            raise TemplateError(f"template makes a list of more than {MAX_ITEMS} items")
        self.step(1 + count // 2)


def check_source(source: str) -> None:
    """Raises TemplateError for a template text that is too long to parse."""
    if len(source) > MAX_SOURCE:
        raise TemplateError(f"template is longer than {MAX_SOURCE} characters")
