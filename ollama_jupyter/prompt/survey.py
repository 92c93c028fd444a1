"""What a template does, told without running it: for whoever must decide whether to trust it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Condition:
    """A branch that is taken or not by what a message says, or by the date.

    Args:
        on: "content" or "date".
        literals: the fixed texts that it is compared with.
        writes: the fixed text that the branch puts into the prompt.
    """

    on: str
    literals: tuple[str, ...]
    writes: str


@dataclass(slots=True)
class Survey:
    """The facts of one template.

    Args:
        reaches: names of attributes and objects that belong to Python and not to a conversation, such as `__class__`.
        foreign: statements that would read other files: include, import, extends.
        fixed: every fixed text that it may put into a prompt.
        hidden: texts that it makes or compares, and does not plainly write.
        longest_loop: the most repetitions that the template itself spells out.
        largest_number: the largest whole number in it.
        depth: how deeply loops stand inside loops.
        recursive: whether a part of it calls itself.
    """

    reaches: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    longest_loop: int = 0
    largest_number: int = 0
    depth: int = 0
    recursive: bool = False
