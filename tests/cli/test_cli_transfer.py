"""pull and push: what is shown on a terminal and in a log, and what Ctrl-C does."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest
from commands import PROGRAM, Cli
from fake_ollama import FakeOllama, status

DIGEST = "sha256:" + "b1" * 32


def test_a_pull_in_a_log(faked: Cli) -> None:
    done = faked.child("pull", "m")
    assert (done.code, done.out) == (0, "")
    lines = done.err.splitlines()
    assert lines[0] == "pulling manifest"
    assert re.fullmatch(r"pulling b1b1b1b1b1b1: \d+% \S+ MB/98 MB", lines[1])
    assert lines[-4:] == ["pulling b1b1b1b1b1b1: 100% 98 MB", "verifying sha256 digest", "writing manifest", "success"]


def test_the_flag_reaches_the_server(faked: Cli, fake: FakeOllama) -> None:
    faked.ok("pull", "m", "--insecure")
    faked.ok("push", "m", "--insecure")
    assert [body["insecure"] for _, path, body in fake.requests if path in ("/api/pull", "/api/push")] == [True, True]


@pytest.mark.parametrize("verb", ["pull", "push", "create"])
def test_a_stream_that_ends_in_an_error(verb: str, faked: Cli, fake: FakeOllama) -> None:
    fake.models.append("m")
    (faked.folder / "Modelfile").write_text("FROM base")
    fake.verbs[f"/api/{verb}"] = [status("working"), {"error": "pull model manifest: file does not exist"}]
    done = faked(verb, "m")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("working\nError: pull model manifest: file does not exist\n")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("me/mine", "https://ollama.com/me/mine"),
        ("me/mine:v2", "https://ollama.com/me/mine:v2"),
        ("localhost:5000/me/mine", "localhost:5000/me/mine:latest"),
    ],
)
def test_a_push(name: str, address: str, faked: Cli, fake: FakeOllama) -> None:
    fake.models.append(name)
    done = faked("push", name)
    assert (done.code, done.out) == (0, f"\nYou can find your model at:\n\n\t{address}\n")
    assert done.err.startswith("retrieving manifest\npushing b1b1b1b1b1b1 ")
    assert done.err.endswith("pushing manifest\nsuccess\n")


@pytest.mark.parametrize("text", ["unauthorized: access denied", "Unauthorized"])
def test_a_push_that_is_not_allowed(text: str, faked: Cli, fake: FakeOllama) -> None:
    fake.models.append("me/m")
    fake.verbs["/api/push"] = [{"error": text}]
    message = "you are not authorized to push to this namespace, create the model under a namespace you own"
    assert faked("push", "me/m").err == f"Error: {message}\n"


def test_what_a_server_says_steers_no_terminal(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/pull"] = [status("\x1b[2Jbad"), {"error": "worse\x1b[31m"}]
    assert faked("pull", "m").err == "\\x1b[2Jbad\nError: worse\\x1b[31m\n"


# ---- on a terminal ------------------------------------------------------------------------------------------------


def terminal(cli: Cli, *arguments: str) -> pexpect.spawn[str]:
    return pexpect.spawn(
        PROGRAM[0], [*PROGRAM[1:], *arguments], env=cli.env, cwd=cli.folder, dimensions=(24, 100), encoding="utf-8",
        timeout=30,
    )  # fmt: skip


def last_screen(text: str) -> list[str]:
    """The lines of the last frame that was drawn."""
    frame = text.rpartition("\x1b[2K")[2]
    return [re.sub(r"\x1b\[[?0-9]*[A-Za-z]|\r", "", line) for line in frame.split("\n")]


def test_bars_are_drawn_on_a_terminal(faked: Cli, fake: FakeOllama) -> None:
    fake.stalls_at = fake.BLOB // 2
    child = terminal(faked, "pull", "m")
    child.expect_exact("pulling manifest")
    child.expect(re.escape("pulling b1b1b1b1b1b1:  50% ▕") + f"({'█' * 19}) *▏  49 MB/ 98 MB")
    fake.goes_on.set()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    lines = last_screen(child.before or "")
    assert lines[0].rstrip() == "pulling manifest"
    assert re.fullmatch(r"pulling b1b1b1b1b1b1: 100% ▕█+▏  98 MB *", lines[1])
    assert len(lines[1]) == 99
    assert [line.rstrip() for line in lines[2:5]] == ["verifying sha256 digest", "writing manifest", "success"]


def test_spinners_turn_while_nothing_comes(faked: Cli, fake: FakeOllama) -> None:
    fake.stalls_at = 0
    child = terminal(faked, "pull", "m")
    frames = set()
    for _ in range(4):
        child.expect("pulling manifest ([⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏])")
        assert child.match is not None
        frames.add(child.match.group(1))
    assert len(frames) == 4
    child.close(force=True)


def test_ctrl_c_on_a_terminal(faked: Cli, fake: FakeOllama) -> None:
    fake.stalls_at = fake.BLOB // 2
    child = terminal(faked, "pull", "m")
    child.expect_exact("50%")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "Traceback" not in (child.before or "")
    assert (child.before or "").rpartition("\x1b[?25")[2].startswith("h"), "the cursor is shown again"


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_an_interrupt_ends_it_at_once(verb: str, faked: Cli, fake: FakeOllama) -> None:
    fake.models.append("m")
    fake.stalls_at = fake.BLOB // 2
    child = subprocess.Popen([*PROGRAM, verb, "m"], env=faked.env, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    seen = child.stderr.readline() + child.stderr.readline()
    assert f"{verb}ing b1b1b1b1b1b1" in seen
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (130, "")
    assert time.monotonic() - begun < 5
    assert fake.closed.wait(10), "the server learns that nobody waits any more"


def test_an_interrupt_while_a_file_is_sent(faked: Cli, fake: FakeOllama, tmp_path: Path) -> None:
    with (tmp_path / "m.gguf").open("wb") as file:
        file.truncate(2**33)
    (tmp_path / "Modelfile").write_text("FROM ./m.gguf")
    child = subprocess.Popen([*PROGRAM, "create", "m"], env=faked.env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert child.stderr.readline() == "gathering model components\n"
    child.send_signal(signal.SIGINT)
    assert (child.communicate(timeout=30)[1], child.returncode) == ("", 130)
