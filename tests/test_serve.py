"""`ollama-jupyter serve` as a process: how it starts, how it ends, what it prints. The compute side is a fake."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ollama_jupyter.cli import main
from ollama_jupyter.cli.serve import settings_table
from ollama_jupyter.config import SETTINGS

CHILD = """
import asyncio, logging, sys, time
from pathlib import Path
from fakes import Chunk, fake_ollama
from ollama_jupyter.cli import main
from ollama_jupyter.server.app import Ollama

def create(settings):
    made = fake_ollama(Path(sys.argv[1]))
    made.settings = settings
    made.service.says(Chunk("one"), asyncio.Event())
    if sys.argv[2] == "stuck":
        made.manager.close = lambda: asyncio.to_thread(time.sleep, 60)
    return made

Ollama.create = staticmethod(create)
sys.exit(main(["serve"]))
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[subprocess.Popen[str]] = []

    def run(mode: str = "", **env: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
        inherited["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), mode],
            env=inherited | {"OLLAMA_HOST": "127.0.0.1:0"} | env,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


def port_of(child: subprocess.Popen[str]) -> int:
    assert child.stderr is not None
    for line in child.stderr:
        if found := re.search(r"Listening on 127\.0\.0\.1:(\d+)", line):
            return int(found.group(1))
    raise AssertionError("it never listened")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_two_seconds_and_tells_who_waits(start: Start, number: signal.Signals) -> None:
    child = start()
    with socket.create_connection(("127.0.0.1", port_of(child)), timeout=10) as connection:
        body = b'{"model":"m","prompt":"x"}'
        head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        received = b""
        while b'"one"' not in received:
            received += connection.recv(65536)
        child.send_signal(number)
        begun = time.monotonic()
        while data := connection.recv(65536):
            received += data
        assert child.wait(10) == 0
        assert time.monotonic() - begun < 2
    last = [line for line in received.split(b"\r\n") if line.startswith(b"{")][-1]
    assert json.loads(last) == {"error": "server is shutting down"}


def test_a_stuck_thread_does_not_hold_it(start: Start) -> None:
    child = start("stuck")
    port_of(child)
    child.terminate()
    begun = time.monotonic()
    assert child.wait(10) == 0
    assert time.monotonic() - begun < 2.5


def test_a_taken_port_is_one_clear_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        child = start(OLLAMA_HOST=f"127.0.0.1:{port}")
        _, errors = child.communicate(timeout=30)
    assert child.returncode == 1
    assert errors.splitlines() == [f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"]


def test_debug_shows_what_is_not_acted_on(start: Start) -> None:
    child = start(OLLAMA_DEBUG="1", OLLAMA_AUTH="1")
    assert child.stderr is not None
    lines = iter(child.stderr)
    seen = [next(lines)]
    while "Listening" not in seen[-1]:
        seen.append(next(lines))
    assert any("OLLAMA_AUTH: not yet" in line for line in seen)
    child.terminate()
    assert child.wait(10) == 0


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    shown = capsys.readouterr().out
    for setting in SETTINGS:
        assert setting.env in shown
        assert setting.later in shown
    assert "127.0.0.1:11434" in shown


@pytest.mark.parametrize(
    ("variable", "default"),
    [("NUM_PARALLEL", "4"), ("MAX_LOADED_MODELS", "3"), ("KEEP_ALIVE", "5m0s"), ("MODELS", "~/.ollama/models")],
)
def test_defaults_in_the_table(variable: str, default: str) -> None:
    [row] = [row for row in settings_table().splitlines() if row.split()[0] == f"OLLAMA_{variable}"]
    assert f"(default {default})" in row


@pytest.mark.parametrize("arguments", [["-v"], ["--version"], ["version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert re.match(r"ollama-jupyter version is \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "serve" in capsys.readouterr().out


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "ollama_jupyter", "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ollama-jupyter version is ")
