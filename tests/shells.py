"""IPython shells and kernels in which the tests run cells, and what these show."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def failure(shell: InteractiveShell, cell: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a failing cell shows."""
    capsys.readouterr()
    outcome = shell.run_cell(cell, store_history=True)
    assert outcome.error_in_exec is not None
    shown = "".join(capsys.readouterr())
    assert "Traceback" not in shown
    return (
        next(line for line in shown.splitlines() if "ollama: " in line).split("ollama: ", 1)[1].removesuffix("\x1b[0m")
    )


def value(shell: InteractiveShell, cell: str) -> Any:
    outcome = shell.run_cell(cell, store_history=True)
    outcome.raise_error()
    return outcome.result


def completed(shell: InteractiveShell, line: str) -> list[str]:
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        found = list(shell.Completer.completions(line, len(line)))
    return [line[: c.start] + c.text + line[c.end :] for c in found]


class Kernel:
    """A python3 kernel and what its cells put out, as a saved notebook would hold it."""

    def __init__(self, host: str) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(env={**os.environ, "OLLAMA_HOST": host})
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.messages: list[dict[str, Any]] = []

    def run(self, code: str) -> dict[str, Any]:
        self.messages = []
        reply = self.client.execute_interactive(code, output_hook=self.messages.append, timeout=60)
        return dict(reply["content"])

    def outputs(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    def evaluate(self, expression: str) -> str:
        self.run(f"print({expression})")
        return "".join(content["text"] for content in self.outputs("stream")).strip()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


def wait_for(
    kernel: Kernel, request: str, wanted: Callable[[dict[str, Any]], bool], *, remember: bool = False
) -> dict[str, Any]:
    """The first message of a request's outputs that is `wanted`."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            message = kernel.client.get_iopub_msg(timeout=1)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") == request:
            if remember:
                kernel.messages.append(message)
            if wanted(message):
                return dict(message)
    raise AssertionError("the kernel never said so")
