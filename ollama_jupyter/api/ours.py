"""The routes that Ollama does not have: `/api/verify`, `/api/scan`, `/api/doctor`."""

from __future__ import annotations

from typing import Any

from ollama_jupyter.api import ollama_answers
from ollama_jupyter.api.fields import Fields
from ollama_jupyter.messages import Progress, VerifyRequest
from ollama_jupyter.reports import VerifyReport


def verify_request(body: dict[str, Any]) -> VerifyRequest:
    """The body of `/api/verify`; an empty one asks for the whole store.

    Raises:
        BadRequest: for a wrong type.
    """
    fields = Fields(body)
    return VerifyRequest(
        model=(fields.text("model") or fields.text("name")).strip(),
        repair=fields.flag("repair", False),
        insecure=fields.flag("insecure", False),
        stream=fields.flag("stream", True),
    )


def scan_argument(body: dict[str, Any]) -> str:
    """The model that `/api/scan` is about."""
    fields = Fields(body)
    return (fields.text("model") or fields.text("name")).strip()


def verify_line(step: Progress | VerifyReport) -> dict[str, Any]:
    """A line of `/api/verify`: progress, and the report at the end."""
    if isinstance(step, Progress):
        return ollama_answers.progress(step)
    return {"status": "success" if step.ok else "problems found", "report": step.to_json()}
