"""`%ollama pull, push, create, verify, scan, doctor` and `%%ollama_create`, against a fake server."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from doors import jupyter, serve
from fake_ollama import KEY, FakeOllama, status
from IPython.core.interactiveshell import InteractiveShell
from models import write_tiny_gguf
from registries import docker_registry
from registry.misbehaving import Registry, serving
from shells import Kernel, completed, failure, value, wait_for

from ollama_jupyter.notebook.bar import TerminalBar
from ollama_jupyter.notebook.transfer import Transfer

# ---- the arithmetic of a transfer ---------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line(text: str, digest: str = "", completed: int | None = None, total: int | None = None) -> Any:
    return SimpleNamespace(status=text, digest=digest or None, completed=completed, total=total)


def test_a_transfer_in_words() -> None:
    clock = Clock()
    transfer = Transfer(clock)
    assert str(transfer) == "waiting for the server"
    transfer.note(line("pulling manifest"))
    assert (str(transfer), transfer.fraction) == ("pulling manifest", 0.0)
    transfer.note(line("pulling b1", "b1", 20_000_000, 100_000_000))
    assert str(transfer) == "pulling b1 · 20 MB of 100 MB", "what was there already says nothing about speed"
    for _ in range(4):
        clock.now += 1
        transfer.note(line("pulling b1", "b1", int(20_000_000 + clock.now * 10_000_000), 100_000_000))
    assert str(transfer) == "pulling b1 · 60 MB of 100 MB · 10 MB/s · 4s left"
    transfer.note(line("pulling c2", "c2", None, 100_000_000))
    assert (transfer.completed, transfer.total, transfer.fraction) == (60_000_000, 200_000_000, 0.3)
    transfer.note(line("pulling b1", "b1", 100_000_000, 100_000_000))
    transfer.note(line("pulling c2", "c2", 100_000_000, 100_000_000))
    transfer.note(line("success"))
    assert str(transfer) == "success"
    assert transfer.summary == "200 MB in 4s"


def test_a_stall_is_seen_in_the_rate() -> None:
    clock = Clock()
    transfer = Transfer(clock)
    for _ in range(3):
        transfer.note(line("pulling", "b1", int(clock.now * 1_000_000), 10_000_000))
        clock.now += 1
    for _ in range(6):
        transfer.note(line("pulling", "b1", 2_000_000, 10_000_000))
        clock.now += 1
    assert str(transfer) == "pulling · 2 MB of 10 MB · 0 B/s"


def test_what_was_there_already_is_told() -> None:
    transfer = Transfer(Clock())
    transfer.note(line("pulling b1", "b1", 7_000_000, 7_000_000))
    assert transfer.summary == "7 MB, already here"


def test_nonsense_from_a_server_is_bounded() -> None:
    transfer = Transfer(Clock())
    transfer.note(line("pulling b1", "b1", 900, 100))
    assert (transfer.completed, transfer.fraction) == (100, 1.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_of_a_terminal_goes_when_it_is_done(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    transfer, bar = Transfer(), TerminalBar()
    for there in (None, 0, 50_000_000, 100_000_000):
        transfer.note(line("pulling \x1b[31mb1", "b1", there, 100_000_000))
        bar.update(transfer)
    assert "pulling" in terminal.getvalue()
    assert "\x1b[31m" not in terminal.getvalue()
    bar.finish("done")
    assert terminal.getvalue().endswith("\r")
    assert capsys.readouterr().out == "done\n"


# ---- in a shell ---------------------------------------------------------------------------------------------------


def test_pull_ends_in_one_line(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    value(shell, "%ollama pull tiny:1b")
    assert capsys.readouterr().out == "pulled tiny:1b · 98 MB in 1s\n"
    assert fake.bodies("/api/pull") == [{"model": "tiny:1b", "insecure": False, "stream": True}]
    value(shell, "%ollama pull tiny:1b --insecure")
    assert fake.bodies("/api/pull")[1]["insecure"] is True
    assert "tiny:1b" in fake.models


def test_push_ends_in_one_line(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.moved = fake.BLOB
    value(shell, "%ollama push smollm2:135m")
    assert capsys.readouterr().out == "pushed smollm2:135m · 98 MB, already here\n"


def test_a_refused_pull_is_one_line(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    fake.verbs["/api/pull"] = [
        status("pulling manifest"),
        {"error": f"pull model manifest: file does not exist {KEY}"},
    ]
    assert failure(shell, "%ollama pull nosuch", capsys) == "pull model manifest: file does not exist •••"


def test_create_by_a_file(shell: InteractiveShell, fake: FakeOllama, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "Mario").write_text("FROM smollm2:135m\nSYSTEM You are Mario.\nPARAMETER temperature 0.2\n")
    value(shell, f"%ollama create mario -f '{tmp_path}/Mario' -q q4_k_m")
    (body,) = fake.bodies("/api/create")
    assert body["model"] == "mario"
    assert body["from"] == "smollm2:135m"
    assert body["system"] == "You are Mario."
    assert body["parameters"] == {"temperature": 0.2}
    assert body["quantize"].lower() == "q4_k_m"
    assert "created mario" in capsys.readouterr().out


def test_create_by_a_cell(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    value(shell, "%%ollama_create mario\nFROM smollm2:135m\nSYSTEM You are {Mario} and cost $5.\n")
    (body,) = fake.bodies("/api/create")
    assert body["system"] == "You are {Mario} and cost $5."
    assert "quantize" not in body
    assert completed(shell, "%ollama show mar") == ["%ollama show mario"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%ollama create m -f nosuch", "no file nosuch"),
        ("%ollama create m", "no file Modelfile: name one with -f"),
        ("%%ollama_create m\nFROM x\nSISTEM hi\n", "(line 2): command must be one of"),
        ("%%ollama_create\nFROM x\n", "the following arguments are required: model"),
        ("%ollama pull", "the following arguments are required: model"),
        ("%ollama scan nosuch", "model 'nosuch' not found"),
        ("%ollama doctor now", "unrecognized arguments: now"),
        ("%ollama pul x", "did you mean 'pull'?"),
    ],
)
def test_mistakes_get_one_line(
    shell: InteractiveShell, capsys: Any, cell: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in failure(shell, cell, capsys)


def test_verify_shows_the_report_and_is_it(shell: InteractiveShell, fake: FakeOllama, capsys: Any) -> None:
    report = {"ok": True, "models": 1, "blobs": 4, "bytes": 98_000_000, "problems": []}
    lines = [status("hashing", digest="sha256:b1", total=98, completed=n) for n in (0, 98)]
    fake.verbs["/api/verify"] = [*lines, {"report": report}]
    shown = value(shell, "%ollama verify smollm2:135m --repair")
    assert repr(shown) == "checked 1 model, 4 blobs, 98 MB: everything is as it should be"
    assert shown["ok"] is True
    assert fake.bodies("/api/verify") == [{"repair": True, "model": "smollm2:135m"}]
    value(shell, "%ollama verify")
    assert fake.bodies("/api/verify")[1] == {"repair": False}


def test_scan_and_doctor(shell: InteractiveShell, fake: FakeOllama) -> None:
    finding = {"level": "danger", "where": "template", "what": "\x1b[31mreads files", "why": "because"}
    fake.verbs["/api/scan"] = [{"model": "m", "digest": "ab", "verdict": "hostile", "findings": [finding]}]
    shown = value(shell, "%ollama scan m")
    assert repr(shown).splitlines()[-1] == "m: hostile (1 danger)"
    assert "\x1b" not in repr(shown)
    check = {"name": "disk", "status": "fail", "detail": "full", "fix": "rm -r /tmp/x"}
    fake.verbs["/api/doctor"] = [{"version": "0.1", "ok": False, "checks": [check]}]
    shown = value(shell, "%ollama doctor")
    assert "rm -r /tmp/x" in repr(shown)
    assert shown["checks"] == [check]


def test_another_server_says_what_it_lacks(
    shell: InteractiveShell, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    fake.verbs["/api/doctor"] = []
    monkeypatch.setattr("fake_ollama._Handler._stream", lambda handler, _: handler.send_error(404))
    assert failure(shell, "%ollama doctor", capsys) == "that server has no /api/doctor: only ollama-jupyter's does"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%ollama pu", ["%ollama pull", "%ollama push"]),
        ("%ollama pull smol", ["%ollama pull smollm2:135m"]),
        ("%ollama verify --re", ["%ollama verify --repair"]),
        ("%ollama create m --q", ["%ollama create m --quantize"]),
        ("%ollama doctor smol", []),
    ],
)
def test_completion(shell: InteractiveShell, text: str, expected: list[str]) -> None:
    assert completed(shell, text) == expected


def test_a_file_is_completed_by_ipython(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Mario.modelfile").touch()
    assert completed(shell, "%ollama create m -f Mar") == ["%ollama create m -f Mario.modelfile"]


def test_help_tells_the_flags(shell: InteractiveShell, capsys: Any) -> None:
    for cell in ("%ollama help", "%ollama create -h", "%%ollama_create -h\nx"):
        value(shell, cell)
    shown = capsys.readouterr().out
    assert "%ollama create MODEL [-f FILE] [-q TYPE]" in shown
    assert "--quantize TYPE" in shown
    assert "usage: %%ollama_create" in shown


# ---- in a kernel --------------------------------------------------------------------------------------------------


def test_a_pull_is_one_output_that_ends_as_a_line(kernel_and_fake: tuple[Kernel, FakeOllama]) -> None:
    kernel, fake = kernel_and_fake
    assert kernel.run("%ollama pull tiny:1b")["status"] == "ok"
    (first,) = kernel.outputs("display_data")
    updates = kernel.outputs("update_display_data")
    assert 'role="progressbar"' in first["data"]["text/html"]
    assert updates[-1]["data"] == {"text/plain": "pulled tiny:1b · 98 MB in 1s"}
    assert {content["transient"]["display_id"] for content in updates} == {first["transient"]["display_id"]}
    assert KEY not in str(kernel.messages)
    assert fake.moved == 0


def test_interrupt_ends_a_pull_on_the_server_and_a_second_call_goes_on(
    kernel_and_fake: tuple[Kernel, FakeOllama],
) -> None:
    kernel, fake = kernel_and_fake
    fake.closed.clear()
    fake.stalls_at = fake.BLOB // 2
    asked = kernel.client.execute("%ollama pull --insecure tiny:1b")
    wait_for(kernel, asked, lambda m: "49 MB of 98 MB" in m["content"].get("data", {}).get("text/plain", ""))
    started = time.monotonic()
    kernel.manager.interrupt_kernel()
    assert fake.closed.wait(5)
    assert fake.closed_at is not None
    assert fake.closed_at - started < 1
    error = wait_for(kernel, asked, lambda m: m["msg_type"] == "error", remember=True)
    assert error["content"]["traceback"] == [
        "\x1b[31mollama: interrupted at 49 MB of 98 MB: `%ollama pull tiny:1b --insecure` goes on from there\x1b[0m"
    ]
    (last,) = [m["content"] for m in kernel.messages if m["msg_type"] == "update_display_data"][-1:]
    assert last["data"] == {"text/plain": "pulling b1b1b1b1b1b1 · 49 MB of 98 MB"}
    assert kernel.client.get_shell_msg(timeout=10)["content"]["status"] == "error", "Run All must stop here"

    fake.goes_on.set()
    assert kernel.run("%ollama pull tiny:1b")["status"] == "ok"
    assert "98 MB in" in kernel.outputs("update_display_data")[-1]["data"]["text/plain"]


def test_interrupt_of_a_real_pull_keeps_what_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf")
    weights = (tmp_path / "tiny.gguf").read_bytes() + bytes(8 << 20)
    (tmp_path / "notebooks").mkdir()
    with serving(Registry(weights)) as registry:
        monkeypatch.setenv("OLLAMA_JUPYTER_REGISTRIES", registry.address)
        with jupyter(tmp_path / "notebooks", tmp_path / "models") as (_, _, kernel):
            kernel.run("%load_ext ollama_jupyter")
            name = f"{registry.address}/some/model:latest"
            registry.rate = 2_000_000
            assert kernel.interrupted(f"%ollama pull {name} --insecure", after="MB/s") < 5
            before = registry.sent
            assert before < len(weights)
            registry.rate = 0
            kernel.run(f"%ollama pull {name} --insecure")
            assert registry.sent - before < len(weights), "the second call went on from there"
            assert name in kernel.run("import ollama; print([model.model for model in ollama.list().models])")
            report = kernel.run(f"report = %ollama verify {name}\nprint(report['ok'], report['blobs'])")
            assert report == "True 2\n"
            scanned = kernel.run(f"report = %ollama scan {name}\nprint(report['model'])")
            assert scanned == f"{name}\n"
            examined = kernel.run("report = %ollama doctor\nprint(len(report['checks']) > 3)")
            assert examined == "True\n"


@pytest.mark.needs("docker-registry")
def test_round_trip_of_a_model(bare_shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "Modelfile").write_text("FROM ./tiny.gguf\nSYSTEM You are tiny.\nPARAMETER top_k 3\n")
    with docker_registry(tmp_path / "registry") as host, serve(tmp_path / "models") as door:
        monkeypatch.setenv("OLLAMA_HOST", door.url)
        bare_shell.reset()
        bare_shell.run_line_magic("load_ext", "ollama_jupyter")
        name = f"{host}/me/tiny:1"

        def identity() -> str:
            rows = value(bare_shell, "%ollama list")
            return next((row["ID"] for row in rows if row["NAME"] == name), "")

        value(bare_shell, f"%ollama create {name} -f '{tmp_path}/Modelfile'")
        before = identity()
        assert before
        value(bare_shell, f"%ollama push {name} --insecure")
        value(bare_shell, f"%ollama rm {name}")
        assert identity() == ""
        value(bare_shell, f"%ollama pull {name} --insecure")
        assert identity() == before
        assert value(bare_shell, f"%ollama verify {name}")["ok"]
        bare_shell.run_line_magic("unload_ext", "ollama_jupyter")
