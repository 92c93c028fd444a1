"""The steps of a pull, a push or a create, as the server tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ollama_jupyter.client.errors import OllamaError

if TYPE_CHECKING:
    from ollama import ProgressResponse

LAST = "success"


def whole(steps: Iterable[ProgressResponse]) -> Iterator[ProgressResponse]:
    """The steps. A stream that only ends, because of a proxy, say, is none that succeeded.

    Raises:
        OllamaError: if the last step was another than `success`.
    """
    status: str | None = None
    for step in steps:
        status = step.status
        yield step
    if status != LAST:
        raise OllamaError("the server's answer ended too early, so nobody knows whether it succeeded; try again")
