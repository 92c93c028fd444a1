"""Ollama's own Go client, by the small program in `go/`: every method that needs no account."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conforming import ABLE, ENGINE_ERROR
from doors import MODEL, Door
from embed.tiny_bert import write_tiny_bert

pytestmark = pytest.mark.needs("go")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("go") / "conformance"
    env = os.environ | {"GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", path, "."], cwd=Path(__file__).parent / "go", env=env, check=True, timeout=280)
    return path


@pytest.mark.parametrize("which", ["served", "inner"])
def test_every_method(program: Path, which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    door: Door = request.getfixturevalue(which)
    gguf = write_tiny_bert(tmp_path / "embed.gguf")
    env = os.environ | {"OLLAMA_HOST": door.url, "HOME": str(tmp_path)}
    done = subprocess.run(
        [program, MODEL, ABLE, gguf], env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("ok: ")]) >= 24


def test_an_engine_that_fails_in_the_middle(program: Path, failing: Callable[[int], Door], tmp_path: Path) -> None:
    env = os.environ | {"OLLAMA_HOST": failing(4).url, "HOME": str(tmp_path)}
    done = subprocess.run([program, MODEL], env=env, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == ENGINE_ERROR
