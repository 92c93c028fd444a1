"""A model to a real registry and back, as the README tells it: create, push, rm, pull, run."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Cli
from doors import serve
from models import write_tiny_gguf
from registries import docker_registry


@pytest.mark.needs("docker-registry")
def test_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "Modelfile").write_text("FROM tiny.gguf\nSYSTEM Be brief.\nPARAMETER num_predict 3\n")
    registry, models = tmp_path / "registry", tmp_path / "models"
    registry.mkdir()
    with docker_registry(registry) as host, serve(models) as door:
        cli, name = Cli(door.url, tmp_path), f"{host}/me/tiny"
        cli.ok("create", name)
        before = cli.ok("list").split()[4:6]
        pushed = cli.child("push", "--insecure", name)
        assert pushed.results == f"\nYou can find your model at:\n\n\t{name}:latest\n"
        assert pushed.err.splitlines()[-2:] == ["pushing manifest", "success"]
        assert cli.ok("rm", name) == f"deleted '{name}'\n"
        assert not list((models / "blobs").iterdir())
        pulled = cli.child("pull", "--insecure", name)
        assert (pulled.code, pulled.err.splitlines()[-1]) == (0, "success")
        assert cli.ok("list").split()[4:6] == before == [f"{name}:latest", before[1]]
        assert cli.child("run", name, "the of").results.endswith("\n\n")
        missing = cli("pull", "--insecure", f"{host}/me/nope")
        assert (missing.code, missing.err) == (1, "pulling manifest\nError: pull model manifest: file does not exist\n")
    monkeypatch.setenv("OLLAMA_MODELS", str(models))
    assert cli.ok("verify").endswith(": everything is as it should be\n")
