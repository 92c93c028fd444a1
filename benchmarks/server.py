"""A server of our own for the benchmarks: `ollama-jupyter serve` with an empty store, so SmolLM2 from its wheel."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import httpx

MODEL = "smollm2:135m"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(**settings: str) -> Iterator[str]:
    """The base URL of a server with these OLLAMA_* settings; the model is loaded. It ends with the block."""
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as store:
        env = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
        env |= {"OLLAMA_HOST": url, "OLLAMA_MODELS": store, **settings}
        child = subprocess.Popen([sys.executable, "-m", "ollama_jupyter", "serve"], env=env)
        try:
            wait_until_up(url, child)
            httpx.post(f"{url}/api/generate", json={"model": MODEL}, timeout=120).raise_for_status()
            yield url
        finally:
            child.terminate()
            child.wait(10)


def wait_until_up(url: str, child: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=1)
            return
        if child.poll() is not None:
            raise SystemExit("the server did not start")
        time.sleep(0.1)
    raise SystemExit("the server did not answer within 30 s")
