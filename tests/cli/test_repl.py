"""The conversation as somebody at a terminal sees it: keys go in, the screen comes out."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from commands import PROGRAM, Cli
from doors import MODEL, Door, serve
from fake_ollama import FakeOllama, chunk, final
from models import write_tiny_gguf
from terminals import Terminal, terminal

pytestmark = pytest.mark.needs("tmux")

PLACEHOLDER = ">>> Send a message (/? for help)"
GREY = "\x1b[38;5;245m"

Open = Callable[..., Terminal]


@pytest.fixture
def open_(tmp_path: Path) -> Iterator[Open]:
    """Opens terminals in which `run MODEL` was typed. HOME is the test's folder."""
    windows = []

    def start(host: str, *arguments: str, columns: int = 80, **env: str) -> Terminal:
        base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "TERM": "screen-256color"}
        folder = tmp_path / f"t{len(windows)}"
        folder.mkdir()
        context = terminal(
            folder, [*PROGRAM, "run", *(arguments or (MODEL,))], base | {"OLLAMA_HOST": host} | env, columns
        )
        window = context.__enter__()
        windows.append(context)
        return window

    yield start
    for context in windows:
        context.__exit__(None, None, None)


def sitting(window: Terminal, *lines: str) -> list[str]:
    """Type each line at a prompt that is ready for it. The screen when all are answered."""
    window.until(PLACEHOLDER)
    for line in lines:
        before = len(window.screen())
        window.enter(line)
        window.until(lambda shown, before=before: len(shown) > before and shown[-1] == PLACEHOLDER)  # type: ignore[misc]
    return window.screen()


def test_an_answer_and_what_the_screen_looks_like(fake: FakeOllama, open_: Open) -> None:
    fake.says("The words of this ", "answer go on and on until there is no room left for them in ", "one line.")
    window = open_(fake.host)
    assert sitting(window, "tell me") == [
        ">>> tell me",
        "The words of this answer go on and on until there is no room left for them",
        "in one line.",
        "",
        PLACEHOLDER,
    ]
    assert window.screen(colours=True)[-1].startswith(f">>> {GREY}Send a message")
    [asked] = fake.bodies("/api/chat")
    assert asked["messages"] == [{"role": "user", "content": "tell me"}]
    assert fake.bodies("/api/generate") == [{"model": MODEL, "stream": False}]  # the model was loaded before
    window.enter("/bye")
    window.until("ended: 0")


def test_the_next_message_carries_the_conversation(fake: FakeOllama, open_: Open) -> None:
    fake.says("one", " two")
    sitting(open_(fake.host), "/set system Be brief.", "first", "second", "/clear", "third")
    system = {"role": "system", "content": "Be brief."}
    said = [body["messages"] for body in fake.bodies("/api/chat")]
    assert said[1] == [
        system,
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "one two"},
        {"role": "user", "content": "second"},
    ]
    assert said[2] == [system, {"role": "user", "content": "third"}]


def test_several_lines_are_one_message(fake: FakeOllama, open_: Open) -> None:
    fake.says("ok")
    window = open_(fake.host)
    window.until(PLACEHOLDER)
    window.enter('"""first')
    window.until("...")
    window.enter("/bye", 'last"""')
    assert window.until(PLACEHOLDER) == ['>>> """first', "... /bye", '... last"""', "ok", "", PLACEHOLDER]
    window.paste("pasted\n/list")
    window.until("... /list")
    window.type("Enter")
    window.until(PLACEHOLDER)
    window.enter('/set system """Be', '"brief"."""')
    window.until(PLACEHOLDER)
    sitting(window, "third")
    said = [body["messages"][-1]["content"] for body in fake.bodies("/api/chat")]
    assert said == ["first\n/bye\nlast", "pasted\n/list", "third"]
    assert fake.bodies("/api/chat")[-1]["messages"][0] == {"role": "system", "content": 'Be\n"brief".'}


def test_settings(fake: FakeOllama, open_: Open) -> None:
    fake.says("{}")
    window = open_(fake.host)
    lines = {
        "/set parameter temperature 0.5": "Set parameter 'temperature' to '0.5'",
        "/set parameter stop a b": "Set parameter 'stop' to 'a, b'",
        "/set parameter bogus 1": "Couldn't set parameter: \"unknown parameter 'bogus'\"",
        "/set parameter seed x": 'Couldn\'t set parameter: "invalid int value [x]"',
        "/set system Be brief.": "Set system message.",
        "/set history": "Set 'history' mode.",
        "/set nowordwrap": "Set 'nowordwrap' mode.",
        "/set wordwrap": "Set 'wordwrap' mode.",
        "/set quiet": "Set 'quiet' mode.",
        "/set format xml": "Invalid or missing format. For 'json' mode use '/set format json'",
        "/set format json": "Set format to 'json' mode.",
        "/set bogus": "Unknown command '/set bogus'. Type /? for help",
        "/show bogus": "Unknown command '/show bogus'. Type /? for help",
        "/bogus": "Unknown command '/bogus'. Type /? for help",
        "/load": "Usage:",
        "/save a b": "Usage:",
        "/load nobody": "Loading model 'nobody'",
    }
    shown = sitting(window, *lines)
    for line, answer in lines.items():
        assert shown[shown.index(f">>> {line}") + 1] == answer
    assert shown[-2] == "Couldn't find model 'nobody'"
    sitting(window, "one", "/set noformat", "/set think high", "two", "/set nothink", "three")
    one, two, three = fake.bodies("/api/chat")
    assert one["options"] == {"temperature": 0.5, "stop": ["a", "b"]}
    assert one["format"] == "json"
    assert "think" not in one
    assert "format" not in two or not two["format"]
    assert (two["think"], three["think"]) == ("high", False)
    assert f'warning: model "{MODEL}" does not support thinking output' in window.screen()
    assert "Set 'think' mode to 'high'." in window.screen()


def test_help_and_show(fake: FakeOllama, open_: Open) -> None:
    shown = {"license": "MIT\x1b[31m", "modelfile": "FROM x", "template": "{{ .Prompt }}", "parameters": "stop  x"}
    details = {"details": {"parameter_size": "1B", "quantization_level": "Q4_0"}, "capabilities": ["completion"]}
    fake.verbs["/api/show"] = [shown | details | {"model_info": {"general.architecture": "llama"}}]
    window = open_(fake.host)
    screen = sitting(
        window, "/?", "/help set", "/? show", "/? shortcuts", "/set parameter", "/show license", "/show modelfile",
        "/show system", "/show template", "/set parameter seed 1", "/show parameters", "/show info",
    )  # fmt: skip
    for line in (
        "  /load <model>   Load a session or model",
        'Use """ to begin a multi-line message.',
        "  /set noformat          Disable formatting",
        "  /show license      Show model license",
        "  Ctrl + g            Open default editor to compose a prompt",
        "  /set parameter stop <string> <string> ...   Set the stop parameters",
        "MIT\\x1b[31m",  # nothing that would steer the terminal
        "FROM x",
        "No system message was specified for this model.",
        "{{ .Prompt }}",
        "Model defined parameters:",
        "  stop  x",
        "User defined parameters:",
        "  seed                           1",
        "    architecture    llama",
    ):
        assert line in screen


def test_thinking_is_grey_and_marked(fake: FakeOllama, open_: Open) -> None:
    thoughts = [chunk("", message={"role": "assistant", "content": "", "thinking": text}) for text in ("Hm, ", "yes.")]
    fake.script = [*thoughts, chunk("Four"), final()]
    window = open_(fake.host)
    assert sitting(window, "2+2?")[1:-1] == ["Thinking...", "Hm, yes.", "...done thinking.", "", "Four", ""]
    coloured = window.screen(colours=True)
    assert all(GREY in line for line in coloured[1:3])
    assert coloured[3].endswith("\x1b[1m...done thinking.")
    assert coloured[5].startswith("\x1b[0m")
    assert coloured[5].endswith("Four")
    assert GREY not in coloured[5]
    sitting(window, "again")
    assert fake.bodies("/api/chat")[-1]["messages"][1] == {
        "role": "assistant",
        "content": "Four",
        "thinking": "Hm, yes.",
    }


def test_hidden_thinking(fake: FakeOllama, open_: Open) -> None:
    fake.script = [chunk("", message={"role": "assistant", "content": "", "thinking": "Hm"}), chunk("Four"), final()]
    window = open_(fake.host, MODEL, "--hidethinking")
    assert sitting(window, "2+2?") == [">>> 2+2?", "Four", "", PLACEHOLDER]


def test_verbose(fake: FakeOllama, open_: Open) -> None:
    fake.says("ok")
    assert sitting(open_(fake.host, MODEL, "--verbose"), "x")[1:-1] == [
        "ok",
        "",
        "total duration:       2s",
        "load duration:        5ms",
        "prompt eval count:    7 token(s)",
        "eval count:           20 token(s)",
        "eval duration:        500ms",
        "eval rate:            40.00 tokens/s",
    ]


def test_an_error_does_not_end_the_conversation(fake: FakeOllama, open_: Open) -> None:
    fake.script = [chunk("half"), {"error": "the engine died"}]
    window = open_(fake.host)
    assert sitting(window, "x") == [">>> x", "half", "error: the engine died", PLACEHOLDER]
    fake.says("ok")
    sitting(window, "y")
    assert fake.bodies("/api/chat")[-1]["messages"] == [{"role": "user", "content": "y"}]


def test_control_c(fake: FakeOllama, open_: Open) -> None:
    fake.script = None  # for ever
    window = open_(fake.host)
    window.until(PLACEHOLDER)
    window.type("C-c")
    window.until(lambda shown: shown[-2:] == ["Use Ctrl + d or /bye to exit.", PLACEHOLDER])
    window.enter("count")
    window.until(lambda shown: "1 2 3 4 5" in shown[-1])
    window.type("C-c")
    shown = window.until(PLACEHOLDER)
    assert fake.closed.wait(10)
    assert shown[2] == ">>> count"
    assert "^C" not in "".join(shown)
    fake.says("ok")
    sitting(window, "go on")
    said = fake.bodies("/api/chat")[-1]["messages"]
    assert said[1]["content"].startswith("1 2 3 4 5")  # what was said stays said
    assert [turn["role"] for turn in said] == ["user", "assistant", "user"]
    window.type("C-d")
    window.until("ended: 0")


def test_the_editor(fake: FakeOllama, open_: Open, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf ' more\\nlines\\n\\n' >> \"$1\"\n")
    editor.chmod(0o700)
    fake.says("ok")
    window = open_(fake.host, OLLAMA_EDITOR=str(editor))
    window.until(PLACEHOLDER)
    window.type("some", "C-g")
    window.until(lambda shown: shown[-2:] == [">>> some more", "... lines"])
    window.type("Enter")
    assert window.until(PLACEHOLDER) == [">>> some more", "... lines", "ok", "", PLACEHOLDER]
    assert fake.bodies("/api/chat")[-1]["messages"][-1]["content"] == "some more\nlines"


def test_tab_completes_commands_and_models(fake: FakeOllama, open_: Open) -> None:
    fake.models.append("another:latest")
    window = open_(fake.host)
    window.until(PLACEHOLDER)
    window.type("/lo", "Tab")
    window.until(">>> /load")
    window.type(" ano", "Tab", "Enter")
    assert window.until(PLACEHOLDER) == [">>> /load another:latest", "Loading model 'another:latest'", PLACEHOLDER]


def test_history(fake: FakeOllama, open_: Open, tmp_path: Path) -> None:
    file = tmp_path / ".ollama" / "history"
    fake.says("ok")
    sitting(open_(fake.host), "first", "/set nohistory", "second")
    assert file.read_text() == "first\n/set nohistory\n"
    window = open_(fake.host, OLLAMA_NOHISTORY="1")
    sitting(window, "third")
    window.type("Up", "Up", "Up")
    window.until(">>> first")
    assert file.read_text() == "first\n/set nohistory\n"


def test_sigterm_gives_the_terminal_back(fake: FakeOllama, open_: Open) -> None:
    window = open_(fake.host)
    window.until(PLACEHOLDER)
    shell = psutil.Process(window.pid)
    [client] = shell.children()
    client.send_signal(signal.SIGTERM)
    window.until("ended: 143")
    window.enter("typed")  # into `cat`, which echoes once the terminal is as it was
    window.until(lambda shown: shown[-2:] == ["typed", "typed"])


# ---- with a real server and the real model ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One request at a time. Beside the real model there is `tiny`, whose noise never comes to an end of its own."""
    folder = tmp_path_factory.mktemp("work")
    write_tiny_gguf(folder / "tiny.gguf", context=8192)
    (folder / "Modelfile").write_text("FROM ./tiny.gguf\nPARAMETER temperature 0\n")
    with serve(tmp_path_factory.mktemp("models"), OLLAMA_NUM_PARALLEL="1") as door:
        Cli(door.url, folder).ok("create", "tiny")
        yield door


def test_save_and_load(door: Door, open_: Open) -> None:
    window = open_(door.url)
    shown = sitting(
        window, "/set parameter num_predict 4", "/set system Be brief.", "hello", "/save mine", "/save a/b/c/d/e",
        "/load tiny", "/load mine", "/show system", "/show parameters",
    )  # fmt: skip
    assert "Created new model 'mine'" in shown
    assert "error: The model name 'a/b/c/d/e' is invalid" in shown
    assert "  num_predict                    4" in shown
    window.enter("/bye")
    window.until("ended: 0")
    again = open_(door.url, "mine").until(PLACEHOLDER)  # begins with what was said
    assert again[0] == ">>> hello"
    assert again[1] == shown[shown.index(">>> hello") + 1]


def test_control_c_frees_the_servers_only_slot(door: Door, open_: Open) -> None:
    window = open_(door.url, "tiny")
    window.until(PLACEHOLDER)
    window.enter("the")
    window.until(lambda shown: len(shown) > 3)
    window.type("C-c")
    window.until(PLACEHOLDER)
    begun = time.monotonic()
    body = b'{"model":"tiny","prompt":"x","options":{"num_predict":1},"stream":false}'
    with urllib.request.urlopen(f"{door.url}/api/generate", body, timeout=60) as reply:
        assert reply.status == 200
    assert time.monotonic() - begun < 15  # the answer that was cut had 40,000 tokens to go
