"""What chat templates work on: plain data, and a few objects of our own.

Plain data is None, bool, int, float, str, lists, tuples and dicts. Names in a template are looked up in tables and
dicts, never as attributes of Python objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.limits import MAX_DEPTH, Budget

# No number that a prompt needs is longer; beyond, arithmetic costs more than a step.
_MAX_BITS = 4096


class Undefined:
    """A name that has no value: prints as nothing, is false, and may not be used further. `why` is the complaint."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "Undefined"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Undefined)

    def __hash__(self) -> int:
        return hash(Undefined)


class Namespace:
    """`namespace(...)`: the one thing that a loop's body can change for the outside."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __repr__(self) -> str:
        return "<Namespace>"


@dataclass(frozen=True, slots=True, repr=False)
class Function:
    """Something callable from a template: a global, a method of a value, a macro. Gets positional and named values."""

    name: str
    call: Callable[..., Any]

    def __repr__(self) -> str:
        return f"<function {self.name}>"


@dataclass(slots=True, repr=False)
class Loop:
    """`loop` inside a for. `render` runs a recursive loop's body over other items."""

    items: Sequence[Any]
    depth: int
    render: Callable[[Any], str] | None
    budget: Budget
    index0: int = 0
    seen: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:
        return "<loop>"

    def attribute(self, name: str) -> Any:
        at, length = self.index0, len(self.items)
        if name == "cycle":
            return Function("cycle", lambda *values: values[at % len(values)])
        if name == "changed":
            return Function("changed", self._changed)
        if name in ("previtem", "nextitem"):
            near = at - 1 if name == "previtem" else at + 1
            return self.items[near] if 0 <= near < length else Undefined(f"there is no {name}")
        return {
            "index": at + 1,
            "index0": at,
            "revindex": length - at,
            "revindex0": length - at - 1,
            "first": at == 0,
            "last": at == length - 1,
            "length": length,
            "depth": self.depth + 1,
            "depth0": self.depth,
        }.get(name, Undefined(f"'loop' has no attribute '{name}'"))

    def _changed(self, *values: Any) -> bool:
        measure(values, self.budget)
        changed = self.seen != [values]
        self.seen = [values]
        return changed


class Size(NamedTuple):
    """Of a value as a tree: about what its text takes, its parts, and how deep it is."""

    characters: int
    nodes: int
    depth: int


def measure(value: Any, budget: Budget) -> Size:
    """Walk a value before Python compares, sorts or prints it.

    A template can build a small list whose tree is exponentially large (`x = [x, x]`); Python would walk it all.

    Raises:
        TemplateError: more nodes than the budget has steps, or too deep.
    """
    characters = nodes = deepest = 0
    waiting: list[tuple[Any, int]] = [((value,), 0)]
    while waiting:
        parts, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise TemplateError(f"chat template nests values more than {MAX_DEPTH} deep")
        # A node of a big value is walked more than once: here, and by what the caller does then.
        budget.step(1 + 2 * len(parts))
        nodes += len(parts)
        deepest = max(deepest, depth)
        for part in parts:
            characters += len(part) + 4 if isinstance(part, str) else 20
            if isinstance(part, (list, tuple)):
                waiting.append((part, depth + 1))
            elif isinstance(part, dict):
                waiting += [(tuple(part), depth + 1), (tuple(part.values()), depth + 1)]
    budget.read(characters)
    return Size(characters, nodes, deepest)


def text(value: Any, budget: Budget) -> str:
    """What `{{ value }}` prints: Python's str, and nothing for an undefined value."""
    if isinstance(value, str):
        return value
    if isinstance(value, Undefined):
        return ""
    if isinstance(value, (list, tuple, dict)):
        budget.characters(measure(value, budget).characters)
    return str(value)


def items_of(value: Any, budget: Budget) -> Sequence[Any]:
    """The items that a for loop or a filter sees: a dict's keys, a string's characters, nothing if undefined."""
    if isinstance(value, Undefined):
        return ()
    if isinstance(value, (str, dict, list, tuple)):
        budget.items(len(value))
        return value if isinstance(value, (list, tuple)) else list(value)
    raise TypeError(f"'{kind_of(value)}' is not iterable")


def kind_of(value: Any) -> str:
    """The value's type in the words of jinja2's messages."""
    return "None" if value is None else f"{type(value).__name__} object"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def bounded(value: Any) -> Any:
    """The number itself, unless it is so long that arithmetic with it would cost more than a step."""
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise TemplateError(f"chat template computes a number of more than {_MAX_BITS} bits")
    if isinstance(value, complex):
        raise TemplateError("chat template computes a complex number")
    return value


def plain(value: Any) -> Any:
    """Copy data that comes from outside into lists and dicts, so that templates meet no other class."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, bool, int, float, type(None))) else str(value)
