"""The command line against a real server: what it passes on works there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
from conforming import ABLE
from doors import MODEL, Door


def run(door: Door, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ollama_jupyter", "run", *args]
    env = os.environ | {"OLLAMA_HOST": door.url}
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
    )


def test_formats(served: Door) -> None:
    schema = {"type": "object", "properties": {"big": {"type": "boolean"}}, "required": ["big"]}
    done = run(served, MODEL, "--format", json.dumps(schema), "Is Paris big?")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout)["big"], bool)


def test_thinking(served: Door) -> None:
    brief = {"model": "brief", "from": ABLE, "parameters": {"num_predict": 12}, "stream": False}
    httpx.post(f"{served.url}/api/create", json=brief, timeout=60).raise_for_status()
    thinking = run(served, "brief", "--think", "Is water wet?")
    assert thinking.stdout.startswith("Thinking...\n"), thinking.stderr
    quiet = run(served, "brief", "--think=false", "--format", '{"enum":["yes"]}', "Is water wet?")
    assert quiet.stdout.strip() == '"yes"'
    refused = run(served, MODEL, "--think", "Is water wet?")
    assert (refused.returncode, "does not support thinking" in refused.stderr) == (1, True)


def test_a_path_stays_text_for_a_model_that_does_not_see(served: Door, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    done = run(served, MODEL, "--format", '{"enum":["ok"]}', f"What is in {picture}?")
    assert (done.returncode, done.stdout.strip()) == (0, '"ok"')
