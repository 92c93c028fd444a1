"""Tab behind `%ollama` and `%%ollama`: sub-commands, flags, and names of models, also behind their colon."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ollama_jupyter.notebook.arguments import ALIASES, COMMANDS, PROMPT_FLAGS

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

FRESH_SECONDS = 5.0
_LINE = re.compile(r"\s*(?:[\w.]+\s*=\s*)?(?P<magic>%%?)ollama\s+(?P<rest>.*)\Z")


class Completer:
    """Knows what may stand at the cursor. `fetch` asks the server for its models; it must give up soon by itself."""

    def __init__(self, fetch: Callable[[], list[str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._names: list[str] = []
        self._fetched = -float("inf")

    def forget(self) -> None:
        """Ask anew next time: a command may have changed what there is."""
        self._fetched = -float("inf")

    @property
    def matcher(self) -> Callable[[CompletionContext], SimpleMatcherResult]:
        from IPython.core.completer import context_matcher

        def ollama_matcher(context: CompletionContext) -> SimpleMatcherResult:
            return self.match(context)

        marked: Any = context_matcher()(ollama_matcher)
        marked.completer = self
        return marked  # type: ignore[no-any-return]

    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        from IPython.core.completer import SimpleCompletion

        def found(completions: list[SimpleCompletion], word: str | None = None) -> SimpleMatcherResult:
            result: Any = {"completions": completions}
            if word is not None:
                result |= {"suppress": True, "matched_fragment": word}
            return result  # type: ignore[no-any-return]

        line = context.line_with_cursor[: context.cursor_position]
        asked = _LINE.match(line)
        if asked is None or (asked["magic"] == "%%" and context.cursor_line):
            return found([])
        # IPython ends its own word at `:` and `.`, which would insert a model's name twice.
        word = re.split(r"\s", line)[-1]
        before = asked["rest"][: len(asked["rest"]) - len(word)].split()
        known = self._prompt if asked["magic"] == "%%" else self._command
        words = known(before, word)
        if words is None:
            return found([])
        return found([SimpleCompletion(text=w, type="ollama") for w in words if w.startswith(word)], word)

    def _command(self, before: Sequence[str], word: str) -> Iterable[str] | None:
        """What a word of a sub-command may be; None where others know better: a file, say."""
        if not before:
            return COMMANDS
        command = COMMANDS.get(ALIASES.get(before[0], before[0]))
        if command is None:
            return ()
        if any(before[-1] in flag.spellings for flag in command.flags if flag.value):
            return None
        if word.startswith("-"):
            return [spelling for flag in command.flags for spelling in flag.spellings]
        return self._models() if command.takes_models else ()

    def _prompt(self, before: Sequence[str], word: str) -> Iterable[str]:
        if word.startswith("-"):
            return PROMPT_FLAGS
        return () if before and before[-1] in PROMPT_FLAGS else self._models()

    def _models(self) -> list[str]:
        if self._clock() - self._fetched > FRESH_SECONDS:
            try:
                self._names = self._fetch()
            except Exception:  # no completion is worth a traceback in the middle of typing
                self._names = []
            self._fetched = self._clock()
        return self._names
