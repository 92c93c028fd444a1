"""The `ollama` and `openai` packages for JavaScript under Node, by the small programs in `js/`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conforming import ABLE, ENGINE_ERROR
from doors import MODEL, Door
from embed.tiny_bert import write_tiny_bert

pytestmark = [pytest.mark.needs("node"), pytest.mark.needs("npm")]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs with their packages, apart from the sources: nothing is installed among these."""
    folder = tmp_path_factory.mktemp("js") / "js"
    shutil.copytree(Path(__file__).parent / "js", folder, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=200, capture_output=True)
    return folder


def run(program: Path, *args: object) -> str:
    command = ["node", program, *map(str, args)]
    env = os.environ | {"NODE_OPTIONS": "--unhandled-rejections=strict"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ollama(programs: Path, door: Door, tmp_path: Path) -> None:
    gguf = write_tiny_bert(tmp_path / "embed.gguf")
    told = run(programs / "ollama.mjs", door.url, json.dumps(door.headers), MODEL, ABLE, gguf)
    assert told.count("ok: ") == 11


def test_openai(programs: Path, door: Door) -> None:
    told = run(programs / "openai.mjs", door.url, json.dumps(door.headers), MODEL, ABLE)
    assert told.count("ok: ") == 8


@pytest.mark.parametrize(("package", "kind"), [("ollama", "Error"), ("openai", "APIError")])
def test_an_engine_that_fails_in_the_middle(
    programs: Path, failing: Callable[[int], Door], package: str, kind: str
) -> None:
    """Each package throws its own kind of error, with our text."""
    told = run(programs / "failing.mjs", failing(4).url, MODEL, package)
    assert told.strip() == f"{kind}: {ENGINE_ERROR}"
