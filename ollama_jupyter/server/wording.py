"""What an error says on the wire."""

from __future__ import annotations

from http import HTTPStatus

from tornado import web

from ollama_jupyter.errors import OllamaJupyterError


def message_of(error: BaseException | None, status: int = 500) -> str:
    """The text of an error for the wire: ours say what is wrong, others nothing about the inside."""
    if isinstance(error, OllamaJupyterError):
        return error.message
    if isinstance(error, web.HTTPError):
        text = error.log_message or error.reason or reason_of(error.status_code)
        return text % error.args if error.args else text
    return "internal server error" if status >= 500 else reason_of(status).lower()


def reason_of(status: int) -> str:
    """The phrase of a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request" if status == 499 else "Unknown"
