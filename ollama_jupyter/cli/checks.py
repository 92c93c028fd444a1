"""`ollama-jupyter verify`, `scan` and `doctor`: asked of the server if there is one, else done here on its store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.progress import Bars
from ollama_jupyter.cli.server import is_there
from ollama_jupyter.client import reports, routes
from ollama_jupyter.client.connect import Server

Report = Mapping[str, Any]


def verify(call: Call) -> int:
    """Hash the files of a model, or of all. Exit code 1 if one is damaged and was not repaired."""
    server, model, repair = Server.find(), "".join(call.args), call.flags["repair"]
    with Bars() as bars:
        if is_there(server):
            report: Report = routes.verify(server, model, repair=repair, on_progress=bars.show)
        else:
            from ollama_jupyter.cli.local_checks import verify as verify_here

            report = verify_here(model, repair=repair, on_progress=bars.show)
    return _tell(call, report, reports.render_verify, ok=bool(report.get("ok")))


def scan(call: Call) -> int:
    """Look through a model. Exit code 1 if something in it is dangerous."""
    server, [model] = Server.find(), call.args
    if is_there(server):
        report: Report = routes.scan(server, model)
    else:
        from ollama_jupyter.cli.local_checks import scan as scan_here

        report = scan_here(model)
    return _tell(call, report, reports.render_scan, ok=report.get("verdict") != "danger")


def doctor(call: Call) -> int:
    """Examine the machine and the store. Exit code 1 if a check failed."""
    server = Server.find()
    if is_there(server):
        report: Report = routes.doctor(server)
    else:
        from ollama_jupyter.cli.local_checks import doctor as doctor_here

        report = doctor_here()
    return _tell(call, report, reports.render_doctor, ok=bool(report.get("ok")))


def _tell(call: Call, report: Report, render: Callable[[Report], list[str]], *, ok: bool) -> int:
    print(json.dumps(report, indent=2) if call.flags["json"] else "\n".join(render(report)))
    return 0 if ok else 1
