"""The server that a command speaks to: where it is, whether it is there, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError

if TYPE_CHECKING:
    import ollama

HEARTBEAT_SECONDS = 10.0
NOT_THERE = "could not connect to ollama server, run 'ollama-jupyter serve' to start it"


def is_there(server: Server) -> bool:
    """Whether something listens at the address.

    Raises:
        OllamaError: if it can be reached and does not answer, or not as a server does.
    """
    import httpx

    with server.answering(), server.client(read_seconds=HEARTBEAT_SECONDS) as client:
        try:
            client._client.head("/").raise_for_status()
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return False
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            question = "is OLLAMA_API_KEY set to its key?" if status == 401 else "is that an Ollama server?"
            raise OllamaError(f"HTTP {status} from {server.shown}: {question}") from None
    return True


def look_for() -> None:
    """Make sure that there is a server.

    Raises:
        OllamaError: if there is none, with how to start one.
    """
    if not is_there(Server.find()):
        raise OllamaError(NOT_THERE)


@contextmanager
def connected() -> Iterator[ollama.Client]:
    """A client for as long as the block lasts; what fails in it becomes an OllamaError of one line."""
    server = Server.find()
    with server.answering(), server.client() as client:
        yield client
