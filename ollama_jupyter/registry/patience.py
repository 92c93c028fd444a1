"""When to try again: passing trouble is waited out, ever longer, as long as there is some progress between."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from ollama_jupyter.errors import Canceled, RegistryError, Trouble
from ollama_jupyter.registry.auth import DENIED
from ollama_jupyter.registry.response import Response

T = TypeVar("T")

TRIES = 6
"""Failures in a row, without progress between them, after which it is no passing trouble."""
LONGEST_S = 30.0
LONGEST_ASKED_S = 60.0
"""More than this is not waited for, even if the other side asks for it."""
_PASSING = frozenset({408, 425, 429})


class Patience:
    """Counts the failures of one piece of work.

    Args:
        tries: failures in a row that are too many; TRIES, if it is not given.
    """

    def __init__(self, cancel: threading.Event, tries: int | None = None) -> None:
        self._cancel = cancel
        self._tries = tries or TRIES
        self._failures = 0

    def progress(self) -> None:
        """Something was achieved: the failures before it do not count any more."""
        self._failures = 0

    def insist(self, work: Callable[[], T]) -> T:
        """What `work` returns, which is called again after each passing trouble.

        Raises:
            RegistryError: if the trouble does not pass, with its text; and whatever else `work` raises.
            Canceled: if the transfer is cancelled.
        """
        while True:
            try:
                return work()
            except Trouble as trouble:
                self._failures += 1
                if self._failures >= self._tries:
                    raise RegistryError(f"max retries exceeded: {trouble.message}") from None
                asked = trouble.after
            self._wait(asked)

    def _wait(self, asked: float) -> None:
        seconds = min(2.0 ** (self._failures - 1), LONGEST_S) * random.uniform(0.75, 1.25)
        if self._cancel.wait(max(seconds, min(asked, LONGEST_ASKED_S))):
            raise Canceled


def refusal(response: Response, what: str) -> RegistryError:
    """The error for an answer that was not hoped for: one that may pass, or one that will not."""
    if response.status in (401, 403):
        return RegistryError(DENIED)
    text = f"{what}: {response.status}"
    excerpt = response.excerpt()
    text = f"{text}: {excerpt}" if excerpt else text
    may_pass = response.status >= 500 or response.status in _PASSING
    return Trouble(text, response.retry_after) if may_pass else RegistryError(text)
