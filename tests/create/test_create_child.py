"""Child programs: what they are told and say, and that none outlives its reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from ollama_jupyter import processes
from ollama_jupyter.errors import BadRequest, Canceled, EngineError, InsufficientMemory, OllamaJupyterError
from ollama_jupyter.library import child

PRELUDE = """
import json, os, signal, sys, time
from pathlib import Path
arguments = json.loads(sys.stdin.read())
def say(**message): print(json.dumps(message), flush=True)
"""


SILENT = "Path(arguments['to']).write_text(str(os.getpid())); say(completed=1, total=2); time.sleep(60)"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that children find."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def write(folder: Path, body: str) -> str:
    (folder / "childish.py").write_text(PRELUDE + body)
    return "childish"


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_progress_and_done(program: Path) -> None:
    body = "print('chatter'); print('[1]'); say(completed=1, total=arguments['n']); say(completed=2, total=3)"
    module = write(program, body + "; say(done=True)")
    told: list[tuple[int, int]] = []
    child.run(module, {"n": 3}, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3)]


def test_no_secrets_and_first_to_go(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hush")
    monkeypatch.setenv("OLLAMA_HOST", "http://elsewhere")
    module = write(
        program,
        "Path(arguments['to']).write_text(json.dumps([dict(os.environ), sys.path,"
        "Path('/proc/self/oom_score_adj').read_text() if sys.platform == 'linux' else '1000'])); say(done=True)",
    )
    child.run(module, {"to": str(program / "seen")}, lambda *_: None)
    seen, path, score = json.loads((program / "seen").read_text())
    assert "hush" not in str(seen)
    assert not {"A_TOKEN", "OLLAMA_HOST"} & set(seen)
    assert "" not in path
    assert int(score) == 1000


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("say(error='the file is bad')", BadRequest, "the file is bad"),
        ("sys.exit(3)", EngineError, "exit code 3"),
        ("raise ValueError", EngineError, "exit code 1"),
        ("os.kill(os.getpid(), signal.SIGABRT)", EngineError, "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", InsufficientMemory, "more memory"),
        ("say(completed=1, total=2); time.sleep(60)", EngineError, "stalled"),
    ],
)
def test_ends(program: Path, body: str, error: type[OllamaJupyterError], message: str) -> None:
    stall = 2.0 if "sleep" in body else 60.0
    with pytest.raises(error, match=message):
        child.run(write(program, body), {}, lambda *_: None, stall=stall)


def test_whoever_leaves_ends_it_even_in_silence(program: Path) -> None:
    """The child says one thing and then nothing: that its reader has gone is noticed all the same."""
    module = write(program, SILENT)
    calls: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) > 1:
            raise Canceled

    with pytest.raises(Canceled):
        child.run(module, {"to": str(program / "pid")}, tell)
    assert calls == [(1, 2)] * 2
    assert gone(int((program / "pid").read_text()))


def test_two_at_a_time_and_whoever_waits_may_leave(program: Path) -> None:
    """Four begin; each says when it runs, and goes on when the test lets it."""
    module = write(
        program,
        "Path(arguments['to']).write_text(''); say(completed=1, total=1)\n"
        "while not Path(arguments['go']).exists(): time.sleep(0.01)\nsay(done=True)",
    )
    waiting = threading.Event()

    def leave(done: int, total: int) -> None:
        waiting.set()
        raise Canceled

    with ThreadPoolExecutor(4) as pool:
        runs = []
        for name in "abc":
            arguments = {"to": str(program / name), "go": str(program / "go")}
            runs.append(pool.submit(child.run, module, arguments, lambda *_: None))
            while len(list(program.glob("[abc]"))) < min(len(runs), 2):
                time.sleep(0.01)
        left = pool.submit(child.run, module, {"to": str(program / "d"), "go": str(program / "go")}, leave)
        assert waiting.wait(30)
        assert {path.name for path in program.glob("[abcd]")} == {"a", "b"}
        (program / "go").write_text("")
        with pytest.raises(Canceled):
            left.result(30)
        for run in runs:
            run.result(30)
    assert {path.name for path in program.glob("[abcd]")} == {"a", "b", "c"}


def test_it_does_not_outlive_a_killed_parent(program: Path) -> None:
    module = write(program, SILENT)
    code = (
        "import sys; from ollama_jupyter.library import child\n"
        f"child.run({module!r}, {{'to': sys.argv[1]}}, lambda *_: print('told', flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code, program / "pid"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"told\n"
        os.kill(parent.pid, signal.SIGKILL)
    assert gone(int((program / "pid").read_text()))


def test_the_environment_finds_this_package() -> None:
    assert str(Path(processes.__file__).parents[1]) in processes.environment()["PYTHONPATH"].split(os.pathsep)
