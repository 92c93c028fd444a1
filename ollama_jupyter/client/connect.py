"""Where the server is, and the official client for it, with every way it can fail turned into one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.config import Host, parse_host

if TYPE_CHECKING:
    import httpx
    import ollama

    from ollama_jupyter.client.hangup import Hangup

CONNECT_SECONDS = 3.0
HIDDEN = "•••"
HOW_TO_START = (
    "start one with `ollama-jupyter serve` in a terminal, or install ollama-jupyter where Jupyter Server runs"
)
HOW_TO_RETURN = "the Jupyter server that started this kernel has gone; restart the kernel"
# What the client, and we, stumble over in an answer that is no JSON, or other JSON than was asked for.
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Server:
    """A server by its address. Nothing is contacted until something is asked."""

    host: Host

    @classmethod
    def find(cls, explicit: str = "") -> Server:
        """The explicit address, else `OLLAMA_HOST`, else Ollama's default."""
        host = parse_host(explicit or os.environ.get("OLLAMA_HOST", ""))
        return cls(parse_host(host.url))  # `url` turns "all interfaces" into loopback

    @property
    def shown(self) -> str:
        """The address fit for a saved notebook: a path may carry a key, and a host a password, so both are hidden."""
        host = self.host.host.rpartition("@")[2]
        return replace(self.host, host=host, path=f"/{HIDDEN}" if self.host.path else "").url

    def masked(self, text: str) -> str:
        """`text` without the address's secret parts."""
        for part in self.host.path.split("/"):
            if len(part) > 3:
                text = text.replace(part, HIDDEN)
        return text

    def client(
        self,
        *,
        read_seconds: float | None = None,
        on_response: Callable[[httpx.Response], None] | None = None,
        hangup: Hangup | None = None,
    ) -> ollama.Client:
        """A client that its user closes. Answers may take any time unless `read_seconds` or `hangup` ends them."""
        import httpx

        connect = min(CONNECT_SECONDS, read_seconds or CONNECT_SECONDS)
        client: ollama.Client = _library().Client(
            host=self.host.url,
            timeout=httpx.Timeout(read_seconds, connect=connect),
            # httpx sends loopback to an HTTP proxy too, if the environment names one; no proxy can reach our loopback.
            trust_env=not self.host.is_loopback,
            event_hooks={
                "request": [] if hangup is None else [hangup.watch],
                "response": [on_response] if on_response else [],
            },
        )
        return client

    def version(self) -> str:
        """The server's version, by the one route that the client has no method for."""
        with self.answering(), self.client() as client:
            reply: Any = client._client.get("/api/version")
            reply.raise_for_status()
            return str(reply.json()["version"])

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn every failure of the client into an OllamaError of one line."""
        import httpx

        ollama = _library()
        try:
            yield
        except BrokenPipeError:  # of our own output: the client has other words for its
            raise
        except UnicodeEncodeError:
            raise OllamaError("there are bytes that are no UTF-8 in what was to be sent") from None
        except ollama.ResponseError as error:
            nothing_said = f"HTTP {error.status_code} from {self.shown}: is that an Ollama server?"
            raise OllamaError(self.masked(first_line(str(error.error))) or nothing_said) from None
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout):
            raise OllamaError(self._absent()) from None
        except httpx.TimeoutException:
            raise OllamaError(f"the server at {self.shown} did not answer in time") from None
        except (httpx.RemoteProtocolError, httpx.ReadError):
            raise OllamaError(f"the connection to {self.shown} broke before the answer was complete") from None
        except httpx.TransportError as error:
            raise OllamaError(f"the connection to {self.shown} broke: {self.masked(first_line(str(error)))}") from None
        except (*_NONSENSE, httpx.HTTPError, httpx.InvalidURL):
            raise OllamaError(f"what answers at {self.shown} is no Ollama server") from None

    def _absent(self) -> str:
        of_our_server = self.host.path.startswith("/k/")
        return f"no Ollama server at {self.shown}: {HOW_TO_RETURN if of_our_server else HOW_TO_START}"


def _library() -> ModuleType:
    """The official client, which reads OLLAMA_HOST as it is imported, by rules of its own.

    Raises:
        OllamaError: if it cannot do with what it finds there.
    """
    import httpx

    try:
        import ollama
    except (ValueError, httpx.InvalidURL):
        raise OllamaError("OLLAMA_HOST is no address of a server") from None
    return ollama


def first_line(text: str, limit: int = 500) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"
