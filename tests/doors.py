"""The three doors of a real server, each as a base URL and the headers that open it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ollama_jupyter.cli.child_server import ChildServer

MODEL = "smollm2:135m"


@dataclass(frozen=True)
class Door:
    name: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(models: Path, **settings: str) -> Iterator[tuple[Door, subprocess.Popen[bytes]]]:
    """`ollama-jupyter serve` and its process, until the block ends."""
    url = f"http://127.0.0.1:{free_port()}"
    env = os.environ | {"OLLAMA_HOST": url, "OLLAMA_MODELS": str(models)} | settings
    child = subprocess.Popen([sys.executable, "-m", "ollama_jupyter", "serve"], env=env, stderr=subprocess.DEVNULL)
    try:
        _wait_until_up(url, child)
        yield Door("serve", url), child
    finally:
        child.terminate()
        child.wait(20)


@contextlib.contextmanager
def serve(models: Path, **settings: str) -> Iterator[Door]:
    """As `serving`, for tests that the server must survive."""
    with serving(models, **settings) as (door, child):
        yield door
        assert child.poll() is None, "the server died"
        child.terminate()
        assert child.wait(20) == 0


def _wait_until_up(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        if _answers(url):
            return
        time.sleep(0.05)
    raise AssertionError("serve did not come up")


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:  # it is up, and wants a key
        error.close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


class Kernel:
    """A real kernel of a Jupyter server, to run cells in."""

    def __init__(self, server: ChildServer) -> None:
        from jupyter_client.blocking.client import BlockingKernelClient

        self._server = server
        connection_file = server.start_kernel("test.ipynb")
        self._id = connection_file.stem.removeprefix("kernel-")
        self._client = BlockingKernelClient()
        deadline = time.monotonic() + 60
        while not connection_file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._client.load_connection_file(str(connection_file))
        self._client.start_channels()
        self._client.wait_for_ready(60)

    def run(self, code: str, timeout: float = 120) -> str:
        """What the cell printed. Fails with the traceback if it raised."""
        printed: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self._client.execute_interactive(code, output_hook=hook, timeout=timeout)
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", [])) or reply["content"]
        return "".join(printed)

    def interrupted(self, code: str, after: str) -> float:
        """Run a cell, interrupt it as Lab does once it has shown `after`; seconds from there to the cell's end."""
        self._client.execute(code)
        while after not in str(self._client.get_iopub_msg(timeout=60)["content"]):
            pass
        started = time.monotonic()
        url = f"{self._server.url}api/kernels/{self._id}/interrupt"
        request = urllib.request.Request(url, b"", {"Authorization": f"token {self._server.token}"})
        urllib.request.urlopen(request, timeout=30).close()
        while self._client.get_iopub_msg(timeout=60)["content"].get("execution_state") != "idle":
            pass
        return time.monotonic() - started

    def close(self) -> None:
        self._client.stop_channels()


@contextlib.contextmanager
def jupyter(folder: Path, models: Path) -> Iterator[tuple[Door, Door, Kernel]]:
    """A Jupyter server: its own door, the door of its kernels, and one of these kernels."""
    previous = {name: os.environ.get(name) for name in ("OLLAMA_MODELS", "OLLAMA_HOST")}
    os.environ |= {"OLLAMA_MODELS": str(models), "OLLAMA_HOST": "http://outside.example:1"}
    try:
        with ChildServer(folder) as server:
            kernel = Kernel(server)
            try:
                inner = kernel.run("import os; print(os.environ['OLLAMA_HOST'], end='')")
                outer = Door("jupyter", server.url + "ollama", {"Authorization": f"token {server.token}"})
                yield outer, Door("kernel", inner), kernel
            finally:
                kernel.close()
    finally:
        for name, value in previous.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
