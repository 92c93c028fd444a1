"""verify, scan and doctor: by the server that runs, else on the store of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Cli
from doors import free_port, serve
from fake_ollama import FakeOllama, status
from models import write_tiny_gguf

NO_SERVER = "Error: could not connect to ollama server, run 'ollama-jupyter serve' to start it\n"
GOOD: dict[str, Any] = {"ok": True, "models": 1, "blobs": 3, "bytes": 12, "problems": []}
DAMAGED = {"kind": "corrupt", "digest": "sha256:ab", "models": ["m"], "detail": "its content is another", "remedy": "",
           "serious": True, "repaired": False}  # fmt: skip


def test_verify_by_the_server(faked: Cli, fake: FakeOllama) -> None:
    steps = [status("verifying", total=12, completed=completed) for completed in (0, 12)]
    fake.verbs["/api/verify"] = [*steps, {"report": GOOD}]
    done = faked("verify", "m", "--repair")
    assert (done.code, done.out) == (0, "checked 1 model, 3 blobs, 12 B: everything is as it should be\n")
    assert done.err == "verifying\nverifying 100% 12 B\n"
    assert fake.bodies("/api/verify") == [{"model": "m", "repair": True}]
    assert json.loads(faked.ok("verify", "--json")) == GOOD


def test_damage_is_an_exit_code(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/verify"] = [{"report": GOOD | {"ok": False, "problems": [DAMAGED]}}]
    done = faked("verify")
    assert (done.code, done.out.splitlines()[0]) == (1, "PROBLEM   corrupt  sha256:ab")


@pytest.mark.parametrize(("verdict", "code"), [("danger", 1), ("warning", 0), ("nothing suspicious", 0)])
def test_scan_by_the_server(verdict: str, code: int, faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/scan"] = [{"model": "m:latest", "digest": "", "verdict": verdict, "findings": []}]
    done = faked("scan", "m")
    assert (done.code, done.out) == (code, f"m:latest: {verdict}\n")


@pytest.mark.parametrize("ok", [True, False])
def test_doctor_by_the_server(ok: bool, faked: Cli, fake: FakeOllama) -> None:
    check = {"name": "disk", "status": "ok" if ok else "fail", "detail": "12 GB", "fix": "" if ok else "rm -r junk"}
    fake.verbs["/api/doctor"] = [{"version": "1", "ok": ok, "checks": [check]}]
    done = faked("doctor")
    assert done.code == (0 if ok else 1)
    assert ("→ rm -r junk" in done.out) is not ok


def test_what_the_server_refuses(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/verify"] = [{"error": "no"}]
    assert faked("verify").err == "Error: no\n"


@pytest.mark.parametrize("arguments", [["verify"], ["scan", "m"], ["doctor"]], ids=" ".join)
def test_the_store_of_another_machine_is_not_here(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    # A name of this machine that does not look so, with its dot: nobody listens there.
    done = Cli(f"http://localhost.:{free_port()}", tmp_path)(*arguments)
    assert (done.code, done.err) == (1, NO_SERVER)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one model, and nobody who serves it."""
    folder, models = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("models")
    write_tiny_gguf(folder / "m.gguf")
    with serve(models) as door:
        Cli(door.url, folder).ok("create", "m")
    return models


def alone(models: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("OLLAMA_MODELS", str(models))
    return Cli(f"http://127.0.0.1:{free_port()}", models.parent)


def test_verify_without_a_server(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = alone(models, monkeypatch)
    report = json.loads(cli.ok("verify", "--json"))
    assert (report["ok"], report["models"], report["problems"]) == (True, 1, [])
    assert cli.ok("verify", "m").startswith("checked 1 model, ")
    assert cli("verify", "nope").err.endswith("Error: model 'nope:latest' not found\n")
    largest = max((models / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = cli("verify")
    assert done.code == 1
    assert largest.name.replace("-", ":") in done.out
    largest.write_bytes(content)


def test_scan_without_a_server(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = alone(models, monkeypatch)
    assert cli.ok("scan", "m") == "m:latest: nothing suspicious\n"
    assert json.loads(cli.ok("scan", "m", "--json"))["model"] == "m:latest"
    assert cli("scan", "nope").code == 1


def test_doctor_without_a_server(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = alone(models, monkeypatch)("doctor", "--json")
    report = json.loads(done.out)
    assert done.code == (0 if report["ok"] else 1)
    assert len(report["checks"]) > 5
