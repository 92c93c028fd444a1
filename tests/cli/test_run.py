"""`run` with a prompt, and the server that it starts where there is none."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pexpect
import psutil
import pytest
from commands import PROGRAM, Cli, Done
from doors import MODEL, free_port
from fake_ollama import FakeOllama, status

STARTING = re.compile(r"No server at http://127\.0\.0\.1:\d+: starting one for this run\n")


def said(text: str, **more: Any) -> dict[str, Any]:
    """A line of /api/generate."""
    return {"model": MODEL, "created_at": "2026-01-01T00:00:00Z", "response": text, "done": False} | more


END = said("", done=True, done_reason="stop", total_duration=635103525, eval_count=4, eval_duration=34330000)


@pytest.fixture(autouse=True)
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What is piped into a command that runs in here; nothing, unless the test puts something there."""
    pipe = io.BytesIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))
    return pipe


# ---- against a server that says what the test tells it ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments", "prompt"),
    [
        ("", ["why", "so"], "why so"),
        ("piped\ntext\n", ["what", "is this?"], "piped\ntext\n what is this?"),
        ("only piped", [], "only piped"),
    ],
)
def test_what_is_piped_in_comes_before_the_words(
    faked: Cli, fake: FakeOllama, stdin: io.BytesIO, text: str, arguments: list[str], prompt: str
) -> None:
    stdin.write(text.encode())
    stdin.seek(0)
    done = faked("run", MODEL, *arguments)
    [asked] = fake.bodies("/api/generate")
    assert asked["prompt"] == prompt
    assert done == Done(0, "".join(f"You asked: {prompt} . . .".split()) + "\n\n", "")


def test_no_prompt_loads_the_model_and_says_nothing(faked: Cli, fake: FakeOllama) -> None:
    assert faked("run", MODEL, "--keepalive", "5m") == Done(0, "", "")
    [asked] = fake.bodies("/api/generate")
    assert (asked.get("prompt", ""), asked["keep_alive"]) == ("", "5m")


def test_flags_reach_the_server(faked: Cli, fake: FakeOllama) -> None:
    faked.ok("run", MODEL, "--format", '{"type":"object"}', "--think=high", "--keepalive", "-1m", "x")
    faked.ok("run", MODEL, "--format", "json", "--think=false", "x")
    faked.ok("run", MODEL, "x", "--think")
    first, second, third = fake.bodies("/api/generate")
    assert (first["format"], first["think"], first["keep_alive"]) == ({"type": "object"}, "high", "-1m")
    assert (second["format"], second["think"]) == ("json", False)
    assert third["think"] is True
    assert not {"format", "keep_alive"} & set(third)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--think=maybe"], 'invalid value for --think: "maybe" (must be true, false, high, medium, low, or max)'),
        (["--keepalive", "5"], 'time: missing unit in duration "5"'),
        (["--keepalive", "soon"], 'time: invalid duration "soon"'),
        (
            ["--truncate=maybe"],
            'invalid argument "maybe" for "--truncate" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["--format", "xml"], 'invalid format: "xml"; expected "json" or a valid JSON Schema object'),
    ],
)
def test_bad_flags(faked: Cli, fake: FakeOllama, arguments: list[str], message: str) -> None:
    done = faked("run", MODEL, *arguments, "x")
    assert done == Done(1, "", f"Error: {message}\n")
    assert fake.bodies("/api/generate") == []


def test_timings_go_to_stderr(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/generate"] = [said("Four"), END]
    done = faked("run", MODEL, "2+2?", "--verbose")
    assert done.out == "Four\n\n"
    assert done.err == (
        "total duration:       635.103525ms\n"
        "eval count:           4 token(s)\n"
        "eval duration:        34.33ms\n"
        "eval rate:            116.52 tokens/s\n"
    )


def test_output_in_a_pipe_is_the_models_own(faked: Cli, fake: FakeOllama) -> None:
    """Neither wrapped nor coloured; thinking is marked in plain text."""
    words = "word " * 40 + "\x1b[1m"
    fake.verbs["/api/generate"] = [said("", thinking="Hm"), said(words), END]
    assert faked.ok("run", MODEL, "x") == f"Thinking...\nHm\n...done thinking.\n\n{words}\n\n"
    assert faked.ok("run", MODEL, "x", "--hidethinking") == f"{words}\n\n"


def test_what_did_not_fit_is_told(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/generate"] = [said("ok"), END | {"truncated": {"messages": 0, "tokens": 70, "num_ctx": 512}}]
    done = faked("run", MODEL, "x")
    assert done.err == "warning: 70 token(s) of the prompt did not fit into the context of 512 tokens\n"


def test_an_error_in_the_middle(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/generate"] = [said("half"), {"error": "the engine died"}]
    done = faked("run", MODEL, "x")
    assert done == Done(1, "half\n", "Error: the engine died\n")


def test_a_model_that_is_not_here_is_pulled(faked: Cli, fake: FakeOllama) -> None:
    done = faked("run", "fresh", "hello")
    assert done.code == 0, done.err
    assert done.out == "Youasked:hello...\n\n"
    assert "pulling manifest\n" in done.err
    assert [path for _, path, _ in fake.requests if path in ("/api/show", "/api/pull", "/api/generate")] == [
        *("/api/show", "/api/pull", "/api/show", "/api/generate"),
    ]


def test_a_model_that_nobody_has(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/pull"] = [status("pulling manifest"), {"error": "pull model manifest: file does not exist"}]
    done = faked("run", "nobody", "hello")
    assert done.code == 1
    assert done.err.endswith("Error: pull model manifest: file does not exist\n")


def test_embedding_models(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/show"] = [{"capabilities": ["embedding"]}]
    fake.verbs["/api/embed"] = [{"model": "m", "embeddings": [[0.25, -1.0]]}]
    assert faked.ok("run", "m", "some text", "--truncate=false", "--dimensions", "2") == "[0.25,-1.0]\n"
    [asked] = fake.bodies("/api/embed")
    assert (asked["input"], asked["truncate"], asked["dimensions"]) == ("some text", False, 2)
    usage = 'embedding models require input text. Usage: ollama-jupyter run m "your text here"'
    assert faked("run", "m") == Done(1, "", f"Error: {usage}\n")
    fake.verbs["/api/embed"] = [{"error": "not supported yet"}]
    assert faked("run", "m", "x").code == 1


def test_pictures_by_their_paths(faked: Cli, fake: FakeOllama, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    fake.verbs["/api/show"] = [{"capabilities": ["completion", "vision"]}]
    done = faked("run", MODEL, "what", "is", "./a.png")
    assert done.err == "Added image './a.png'\n"
    [asked] = fake.bodies("/api/generate")
    assert (asked["prompt"], asked["images"]) == ("what is", ["iVBORw0KGgo="])


@contextlib.contextmanager
def running(cli: Cli, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [*PROGRAM, "run", *arguments], env=cli.env | env, cwd=cli.folder, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def first(stream: IO[str] | None, count: int) -> str:
    assert stream is not None
    return stream.read(count)


def for_ever(fake: FakeOllama) -> Iterator[dict[str, Any]]:
    while not fake.stopping.wait(0.01):
        yield said("on and on ")


def test_control_c_ends_the_answer_quietly(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/generate"] = for_ever(fake)  # type: ignore[assignment]
    with running(faked, MODEL, "x") as child:
        assert first(child.stdout, 9) == "on and on"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")
    assert fake.closed.wait(10)


def test_a_reader_that_has_enough(faked: Cli, fake: FakeOllama) -> None:
    fake.verbs["/api/generate"] = for_ever(fake)  # type: ignore[assignment]
    with running(faked, MODEL, "x") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        first(child.stdout, 9)
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(30) == 1
    assert fake.closed.wait(10)


# ---- without a server ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Nobody listens where OLLAMA_HOST points; the store is the folder's `models`."""
    return Cli(f"http://127.0.0.1:{free_port()}", tmp_path_factory.mktemp("alone"))


def test_it_starts_one_for_its_own_life(alone: Cli) -> None:
    """With the real model, which an empty store has."""
    store = str(alone.folder / "models")
    with running(alone, MODEL, "Say hello.", "--verbose", OLLAMA_MODELS=store, OLLAMA_JUPYTER_API_KEY="x") as child:
        began = first(child.stdout, 1)
        children = psutil.Process(child.pid).children()
        out, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    assert (began + out).endswith("\n\n")
    assert STARTING.match(errors)
    assert "eval rate:" in errors
    assert len(children) == 1
    assert not children[0].is_running()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_however_it_ends_no_process_is_left(alone: Cli, number: signal.Signals, code: int) -> None:
    store = str(alone.folder / "models")
    with running(alone, MODEL, "Count to a thousand.", OLLAMA_MODELS=store) as child:
        first(child.stdout, 1)
        family = psutil.Process(child.pid).children(recursive=True)
        assert family
        child.send_signal(number)
        assert child.wait(30) == code
        _, left = psutil.wait_procs(family, timeout=30)
    assert not left


def test_only_here_and_only_without_a_key(alone: Cli) -> None:
    """The address of a kernel's server that has gone is no reason to start another."""
    done = Cli(f"{alone.host}/k/0123", alone.folder)("run", MODEL, "x")
    assert done.code == 1
    assert done.err.startswith("Error: could not connect to ollama server")


def test_a_server_that_does_not_come_up(alone: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ollama_jupyter.cli.own_server.START_SECONDS", 0.0)
    before = psutil.Process().children(recursive=True)
    done = alone("run", MODEL, "x")
    assert done.code == 1
    assert "\nError: the server for this run did not start: it said nothing\n" in done.err
    assert psutil.Process().children(recursive=True) == before


# ---- at a terminal ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pty(cli: Cli, *arguments: str, columns: int = 40) -> Iterator[pexpect.spawn[str]]:
    child = pexpect.spawn(
        PROGRAM[0], [*PROGRAM[1:], "run", *arguments],
        env=cli.env | {"TERM": "xterm-256color", "HOME": str(cli.folder)},
        encoding="utf-8", timeout=60, dimensions=(24, columns), cwd=str(cli.folder),
    )  # fmt: skip
    try:
        yield child
    finally:
        child.close(force=True)


def test_a_prompt_at_a_terminal_is_answered_in_whole_words(faked: Cli, fake: FakeOllama) -> None:
    text = "These words would be longer than one line\x1b]0;me\x07"
    fake.verbs["/api/generate"] = [said(piece) for piece in re.findall("...?", text)] + [END]
    with pty(faked, MODEL, "x") as child:
        child.expect(pexpect.EOF)
        child.wait()
    shown = child.before or ""
    assert shown.endswith("These words would be longer than on\x1b[2D\x1b[K\r\none line\\x1b]0;me\\x07\r\n\r\n")
    assert "\x1b]0;" not in shown
    assert child.exitstatus == 0


def test_a_conversation_in_a_plain_pty(faked: Cli, fake: FakeOllama) -> None:
    fake.says("Hello", " there")
    with pty(faked, MODEL, columns=80) as child:
        child.expect_exact("Send a message (/? for help)")
        child.send("hi\r")
        child.expect_exact("Hello there\r\n\r\n")
        child.expect_exact("Send a message (/? for help)")
        child.send("\x04")
        child.expect(pexpect.EOF)
        child.wait()
    assert child.exitstatus == 0
    assert "\x1b[?2004l" in (child.before or "")  # bracketed paste is switched off again
