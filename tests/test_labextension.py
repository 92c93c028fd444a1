"""The JupyterLab front end: its own checks, run through Node, and what the committed bundle may hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ollama_jupyter

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "labextension"
BUNDLE = ROOT / "ollama_jupyter" / "labextension"


def run_script(*arguments: str) -> None:
    """Run `jlpm` of this Python's jupyter-builder among the sources; its output is the message of a failure."""
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(
        ["jlpm", *arguments], cwd=SOURCES, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def packages() -> None:
    """The npm packages that the lock file names; nothing is fetched where they are installed."""
    run_script("install", "--immutable")


@pytest.mark.needs("node")
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("script", ["check:types", "lint", "test", "check:build"])
def test_front_end(script: str) -> None:
    run_script(script)


def test_bundle_is_of_this_version() -> None:
    description = json.loads((BUNDLE / "package.json").read_text())
    assert description["name"] == "ollama-jupyter"
    assert description["version"] == ollama_jupyter.__version__
    assert (BUNDLE / description["jupyterlab"]["_build"]["load"]).is_file()


@pytest.mark.parametrize("path", [SOURCES / "yarn.lock", *BUNDLE.rglob("*.js*")], ids=lambda path: path.name)
def test_nothing_of_the_building_machine_is_in(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"\w+://[\w.-]+", text) == []
    assert re.findall(r"[\"'`]/(?:home|root|tmp|work|usr|opt|var|mnt|Users)/", text) == []


def test_source_maps_stay_at_home() -> None:
    assert list(BUNDLE.rglob("*.map")) == []
