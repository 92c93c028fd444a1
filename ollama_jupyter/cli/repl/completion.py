"""Tab behind a slash: commands, what may follow them, and names of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from ollama_jupyter.cli.repl.commands import NAMES
from ollama_jupyter.cli.repl.help import TOPICS
from ollama_jupyter.cli.repl.set import NAMES as SETTINGS
from ollama_jupyter.cli.repl.show import NAMES as PARTS
from ollama_jupyter.messages import OPTIONS

_WORDS: dict[str, Sequence[str]] = {
    "/set": SETTINGS,
    "/set parameter": sorted(OPTIONS),
    "/set format": ("json",),
    "/show": PARTS,
    "/help": TOPICS,
    "/?": TOPICS,
}
_MODELS = ("/load", "/save")


class Commands(Completer):
    """`models` asks the server for names; it gives up soon by itself, and then there are none."""

    def __init__(self, models: Callable[[], list[str]]) -> None:
        self._models = models

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in document.text:
            return
        before, _, word = text.rpartition(" ")
        for candidate in self._candidates(" ".join(before.split())):
            if candidate.startswith(word):
                yield Completion(candidate, start_position=-len(word))

    def _candidates(self, before: str) -> Sequence[str]:
        if not before:
            return NAMES
        return self._models() if before in _MODELS else _WORDS.get(before, ())
