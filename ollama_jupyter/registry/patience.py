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
_PASSING = frozenset({408, 425, 429})


class Patience:
    """Counts the failures of one piece of work."""

    def __init__(self, cancel: threading.Event) -> None:
        self._cancel = cancel
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
                if self._failures >= TRIES:
                    raise RegistryError(f"max retries exceeded: {trouble.message}") from None
            self._wait()

    def _wait(self) -> None:
        seconds = min(2.0 ** (self._failures - 1), LONGEST_S)
        if self._cancel.wait(seconds * random.uniform(0.75, 1.25)):
            raise Canceled


def refusal(response: Response, what: str) -> RegistryError:
    """The error for an answer that was not hoped for: one that may pass, or one that will not."""
    if response.status in (401, 403):
        return RegistryError(DENIED)
    text = f"{what}: {response.status}"
    excerpt = response.excerpt()
    kind = Trouble if response.status >= 500 or response.status in _PASSING else RegistryError
    return kind(f"{text}: {excerpt}" if excerpt else text)
