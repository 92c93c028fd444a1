"""The routes that only our server has, and the official client no methods for: verify, scan, doctor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError

if TYPE_CHECKING:
    import httpx

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A status line, by the names that the official client's lines have."""

    status: str | None = None
    digest: str | None = None
    completed: int | None = None
    total: int | None = None


def verify(server: Server, model: str, *, repair: bool, on_progress: Callable[[Line], None]) -> Report:
    """Hash the files of a model, or of all for "", anew. Returns the report (see reports.py).

    Raises:
        OllamaError: for everything that the server or the way to it has to complain about.
    """
    body = {"repair": repair, **({"model": model} if model else {})}
    report: Report = {}
    for said in _lines(server, "POST", "/api/verify", body):
        if "report" in said:
            report = said["report"]
        else:
            on_progress(Line(*(said.get(name) for name in ("status", "digest", "completed", "total"))))
    return report


def scan(server: Server, model: str) -> Report:
    """Look through a model for hostile content. Raises as `verify` does."""
    return next(_lines(server, "POST", "/api/scan", {"model": model}))


def doctor(server: Server) -> Report:
    """Examine the server's machine and store. Raises as `verify` does."""
    return next(_lines(server, "GET", "/api/doctor", None))


def _lines(server: Server, method: str, path: str, body: Any) -> Iterator[Report]:
    """The JSON objects of an answer, one a line."""
    with server.answering(), server.client() as client, client._client.stream(method, path, json=body) as response:
        _check(response, path)
        for line in response.iter_lines():
            said = json.loads(line)
            if "error" in said:
                raise OllamaError(server.masked(str(said["error"])))
            yield said


def _check(response: httpx.Response, path: str) -> None:
    """Raise what the server refused, in its words."""
    import ollama

    if response.is_success:
        return
    response.read()
    if response.status_code == 404 and not response.text.startswith("{"):
        raise OllamaError(f"that server has no {path}: only ollama-jupyter's does")
    raise ollama.ResponseError(response.text, response.status_code)
