"""The child program: one line of JSON in, lines of JSON out, and never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ollama_jupyter.gguf import read_header

from . import folders, vocabularies


def child(task: dict[str, Any]) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, lines and what went to the standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "ollama_jupyter.convert"],
        input=json.dumps(task) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_it_converts_and_reports(tmp_path: Path) -> None:
    config = folders.decoder_config("LlamaForCausalLM", "llama")
    vocabularies.byte_level(tmp_path)
    folders.save(tmp_path, config, folders.random_weights(folders.decoder_shapes(config)))
    target = tmp_path / "model.gguf"
    code, lines, complaints = child({"folder": str(tmp_path), "target": str(target), "kind": "model", "base": None})
    assert (code, lines[-1], complaints) == (0, {"done": True}, "")
    progress = [line["completed"] for line in lines[:-1]]
    assert progress == sorted(progress)
    assert lines[-2]["completed"] == lines[-2]["total"] > 0
    assert read_header(target).architecture == "llama"


def test_a_failure_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    code, lines, complaints = child({"folder": str(tmp_path), "target": str(target), "kind": "model", "base": None})
    assert (code, lines, complaints) == (1, [{"error": "config.json is missing"}], "")
    assert not target.exists()
