"""What a server sends that is no friend, or no server; and files and streams that are not what they seem."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import PROGRAM, Cli
from fake_ollama import FakeOllama, chunk, final

from ollama_jupyter.cli.repl.view import View
from ollama_jupyter.cli.repl.waiting import Waiting

EVIL = "\x1b]0;title\x07\x1b[31mred\x9b5m"
STEERING = (b"\x1b]0;", b"\x1b[31m", b"\xc2\x9b")
SAYS: dict[str, list[Any]] = {
    "/api/show": [
        {"license": EVIL, "model_info": {}, "details": {"family": EVIL}, "capabilities": ["completion", EVIL]}
    ],
    "/api/pull": [{"status": EVIL}, {"status": EVIL, "digest": EVIL, "total": 9, "completed": 4}, {"error": EVIL}],
    "/api/generate": [
        chunk("", response=EVIL, thinking=EVIL),
        final(response=EVIL, truncated={"messages": EVIL, "tokens": EVIL, "num_ctx": EVIL}, eval_count=200),
    ],
    "/api/verify": [{"report": {"ok": False, "models": EVIL, "problems": [{"kind": EVIL, "models": [EVIL]}]}}],
    "/api/scan": [{"model": EVIL, "verdict": EVIL, "findings": [{"level": EVIL, "where": EVIL, "why": EVIL}]}],
    "/api/doctor": [{"version": EVIL, "checks": [{"name": EVIL, "status": EVIL, "detail": EVIL, "fix": EVIL}]}],
}


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(cli: Cli, *arguments: str) -> bytes:
    """All that a command shows on a terminal."""
    import pty

    leader, follower = pty.openpty()
    ends = {"stdin": follower, "stdout": follower, "stderr": follower}
    env = cli.env | {"TERM": "xterm", "OLLAMA_NOHISTORY": "1"}
    process = subprocess.Popen([*PROGRAM, *arguments], cwd=cli.folder, env=env, start_new_session=True, **ends)
    os.close(follower)
    limit = threading.Timer(60, process.kill)
    limit.start()
    shown = b""
    try:
        while data := os.read(leader, 4096):
            shown += data
    except OSError:  # how a terminal of Linux ends
        pass
    os.close(leader)
    process.wait(60)
    limit.cancel()
    return shown


@pytest.mark.parametrize(
    "command",
    ["show smollm2:135m", "show smollm2:135m --license", "pull m", "verify", "scan m", "doctor",
     "run smollm2:135m hello", "bench -model smollm2:135m -epochs 1 -warmup 0 -debug"],
)  # fmt: skip
def test_nothing_of_a_strangers_steers_the_terminal(command: str, faked: Cli, fake: FakeOllama) -> None:
    fake.verbs = SAYS
    shown = on_a_terminal(faked, *command.split())
    assert b"red" in shown
    assert not any(sequence in shown for sequence in STEERING)


def test_a_call_that_steers_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Screen()
    monkeypatch.setattr("sys.stdout", shown)
    call = SimpleNamespace(function=SimpleNamespace(name=EVIL, arguments={EVIL: EVIL}))
    View(Waiting(), wrap=True).tool_calls([call])
    assert "non-existent function" in shown.getvalue()
    assert not any(sequence.decode() in shown.getvalue() for sequence in STEERING)


NUMBERS = {"status": "x", "total": -1, "completed": 10**400, "digest": "x"}
NONSENSE: list[tuple[str, str, Any]] = [
    ("show m", "show", []),
    ("show m", "show", None),
    ("show m", "show", {"model_info": 5}),
    ("show m -v", "show", {"tensors": [5]}),
    ("show m --license", "show", {"license": ["x"]}),
    ("stop m", "show", 5),
    ("run m hello", "show", []),
    ("run m hello", "show", {"capabilities": {"a": 1}}),
    ("run smollm2:135m hello", "generate", []),
    ("pull m", "pull", []),
    ("pull m", "pull", {"error": {"not": "text"}}),
    ("verify", "verify", []),
    ("verify", "verify", {"report": 5}),
    ("verify", "verify", {"report": {"problems": [5]}}),
    ("scan m", "scan", None),
    ("scan m", "scan", {"findings": [5]}),
    ("doctor", "doctor", {"checks": 5}),
]


@pytest.mark.parametrize(("command", "route", "said"), NONSENSE)
def test_nonsense_is_an_error_of_one_line(command: str, route: str, said: Any, faked: Cli, fake: FakeOllama) -> None:
    fake.verbs = {f"/api/{route}": [said]}
    done = faked.child(*command.split())
    assert done.code == 1
    assert done.err.count("\n") <= 2  # what it does, and the error
    assert done.err.splitlines()[-1].startswith("Error: ")


def test_numbers_out_of_all_bounds(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs = {"/api/pull": [NUMBERS]}
    assert "Traceback" not in on_a_terminal(faked, "pull", "m").decode()


def test_an_answer_nested_without_end(faked: Cli, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake_ollama.json", SimpleNamespace(dumps=lambda _: "[" * 200_000, loads=json.loads))
    fake.verbs = {"/api/show": [None]}
    done = faked("show", "m")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "is no Ollama server" in done.err


def test_bytes_that_are_no_text_are_named(faked: Cli) -> None:
    done = faked("show", os.fsdecode(b"x\xff"))
    assert (done.code, done.err) == (1, "Error: there are bytes that are no UTF-8 in what was to be sent\n")


@pytest.mark.parametrize("line", ["FROM ./pipe", "FROM /dev/zero", "FROM smollm2:135m\nADAPTER ./pipe"])
def test_what_has_no_end_is_not_read(line: str, faked: Cli) -> None:
    os.mkfifo(faked.folder / "pipe")
    (faked.folder / "Modelfile").write_text(line)
    done = faked("create", "m")
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith(": not a regular file")


def test_a_link_to_itself(faked: Cli) -> None:
    (faked.folder / "loop").symlink_to("loop")
    (faked.folder / "Modelfile").write_text("FROM ./Modelfile\nDRAFT ./loop\n")
    assert faked("create", "m").err.splitlines()[-1].endswith("/loop: too many levels of symbolic links")


def test_a_modelfile_without_end(faked: Cli) -> None:
    assert faked("create", "m", "-f", "/dev/zero").err == "Error: the Modelfile is larger than 16 MB\n"


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)])
def test_closed_outputs(redirection: str, code: int, faked: Cli) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM, "list"],
        env=faked.env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, b"")


def test_a_locale_that_lacks_letters(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs = {"/api/show": [{"system": "caf\u00e9"}]}
    done = subprocess.run(
        [*PROGRAM, "show", "m", "--system"],
        env=faked.env | {"PYTHONIOENCODING": "ascii"}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"caf?")


def test_a_key_that_is_cut_off(tmp_path: Path) -> None:
    from ollama_jupyter.cli.account import public_key

    with pytest.raises(ValueError, match="cut off"):
        public_key("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAAA==")


@pytest.mark.parametrize("command", ["pull m", "push m", "create m"])
def test_a_stream_that_ends_too_early_is_no_success(command: str, faked: Cli, fake: FakeOllama) -> None:
    (faked.folder / "Modelfile").write_text("FROM smollm2:135m")
    fake.verbs = {f"/api/{command.split()[0]}": [{"status": "pulling manifest"}]}
    done = faked(*command.split())
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("Error: the server's answer ended too early")


def test_an_answer_that_ends_too_early_is_no_success(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs = {"/api/generate": [chunk("", response="half of an")]}
    done = faked.child("run", "smollm2:135m", "hello")
    assert (done.code, done.err.splitlines()[-1]) == (1, "Error: the answer ended without its last line")
    assert done.out.startswith("half of an")
