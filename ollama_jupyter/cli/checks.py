"""`ollama-jupyter verify`, `scan` and `doctor`: asked of the server if there is one, else done here on its store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.progress import Bars
from ollama_jupyter.cli.server import NOT_THERE, is_there
from ollama_jupyter.client import reports, routes
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.config import Settings
from ollama_jupyter.messages import VerifyRequest

Report = Mapping[str, Any]


def verify(call: Call) -> int:
    """Hash the files of a model, or of all. Exit code 1 if one is damaged and was not repaired."""
    server, model, repair = _server(), "".join(call.args), call.flags["repair"]
    with Bars() as bars:
        if server:
            report: Report = routes.verify(server, model, repair=repair, on_progress=bars.show)
        else:
            from ollama_jupyter.library.tools import verify_store

            request = VerifyRequest(model, repair=repair)
            report = verify_store(Settings.from_env(), request, bars.show).to_json()
    return _tell(call, report, reports.render_verify, ok=bool(report.get("ok")))


def scan(call: Call) -> int:
    """Look through a model. Exit code 1 if something in it is dangerous."""
    server, [model] = _server(), call.args
    if server:
        report: Report = routes.scan(server, model)
    else:
        from ollama_jupyter.library.tools import scan_model

        report = scan_model(Settings.from_env(), model).to_json()
    return _tell(call, report, reports.render_scan, ok=report.get("verdict") != "danger")


def doctor(call: Call) -> int:
    """Examine the machine and the store. Exit code 1 if a check failed."""
    server = _server()
    with Bars() as bars:
        bars.status("examining")
        if server:
            report: Report = routes.doctor(server)
        else:
            from ollama_jupyter.doctor import run_checks

            report = run_checks(Settings.from_env()).to_json()
        bars.clear()
    return _tell(call, report, reports.render_doctor, ok=bool(report.get("ok")))


def _server() -> Server | None:
    """The server that runs, None if that would be one of this machine and does not.

    Raises:
        OllamaError: if it would be one of another machine, whose store is not here.
    """
    server = Server.find()
    if is_there(server):
        return server
    if not server.host.is_loopback:
        raise OllamaError(NOT_THERE)
    return None


def _tell(call: Call, report: Report, render: Callable[[Report], list[str]], *, ok: bool) -> int:
    print(json.dumps(report, indent=2) if call.flags["json"] else "\n".join(render(report)))
    return 0 if ok else 1
