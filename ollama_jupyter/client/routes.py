"""The routes that the official client has no methods for, or poorer ones: show, verify, scan, doctor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError

if TYPE_CHECKING:
    import httpx
    import ollama

Report = dict[str, Any]

_SHOWN = {
    "model_info": dict, "projector_info": dict, "details": dict, "capabilities": list, "messages": list,
    "tensors": list, "license": str, "modelfile": str, "parameters": str, "system": str, "template": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A status line, by the names that the official client's lines have."""

    status: str | None = None
    digest: str | None = None
    completed: int | None = None
    total: int | None = None


def show(client: ollama.Client, name: str, **more: Any) -> Report:
    """What a model is. The client's own `show` knows neither `verbose`, nor what may be laid over a model (`system`,
    `options`), nor the messages of the answer.

    Raises:
        TypeError: if something in the answer is of another type than it has; else what the client raises.
    """
    sdk: Any = client
    shown = _object(sdk._request_raw("POST", "/api/show", json={"model": name, **more}).json())
    for field, kind in _SHOWN.items():
        if not isinstance(shown.get(field) or kind(), kind):
            raise TypeError(field)
    return shown


def verify(server: Server, model: str, *, repair: bool, on_progress: Callable[[Line], None]) -> Report:
    """Hash the files of a model, or of all for "", anew. Returns the report (see reports.py).

    Raises:
        OllamaError: for everything that the server or the way to it has to complain about.
    """
    body = {"repair": repair, **({"model": model} if model else {})}
    report: Report = {}
    with server.answering():
        for said in _lines(server, "POST", "/api/verify", body):
            if "report" in said:
                report = _with_entries(said["report"], "problems")
            else:
                on_progress(Line(*(said.get(name) for name in ("status", "digest", "completed", "total"))))
    return report


def scan(server: Server, model: str) -> Report:
    """Look through a model for hostile content. Raises as `verify` does."""
    with server.answering():
        return _with_entries(next(_lines(server, "POST", "/api/scan", {"model": model}), None), "findings")


def doctor(server: Server) -> Report:
    """Examine the server's machine and store. Raises as `verify` does."""
    with server.answering():
        return _with_entries(next(_lines(server, "GET", "/api/doctor", None), None), "checks")


def _lines(server: Server, method: str, path: str, body: Any) -> Iterator[Report]:
    """The JSON objects of an answer, one a line."""
    with server.answering(), server.client() as client, client._client.stream(method, path, json=body) as response:
        _check(response, path)
        for line in response.iter_lines():
            said = _object(json.loads(line))
            if "error" in said:
                raise OllamaError(server.masked(str(said["error"])))
            yield said


def _object(said: Any) -> Report:
    """What was said, if it is an object. Raises TypeError."""
    if not isinstance(said, dict):
        raise TypeError(type(said).__name__)
    return said


def _with_entries(report: Any, name: str) -> Report:
    """A report whose list `name` has nothing but objects. Raises TypeError."""
    for entry in _object(report).get(name) or ():
        _object(entry)
    return dict(report)


def _check(response: httpx.Response, path: str) -> None:
    """Raise what the server refused, in its words."""
    import ollama

    if response.is_success:
        return
    response.read()
    if response.status_code == 404 and not response.text.startswith("{"):
        raise OllamaError(f"that server has no {path}: only ollama-jupyter's does")
    raise ollama.ResponseError(response.text, response.status_code)
