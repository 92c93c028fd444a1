"""The lines that were typed: where they are kept, and what may be wrong with that place."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ollama_jupyter.cli import main
from ollama_jupyter.cli.repl.history import FileHistory, history_file
from ollama_jupyter.config import Settings
from ollama_jupyter.errors import OllamaJupyterError


def test_history_keeps_a_hundred_lines_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / ".ollama" / "history"
    history = FileHistory(path, enabled=True)
    for number in range(120):
        history.append_string(f"line {number}")
    history.append_string('"""\ntwo\nlines"""')
    lines = path.read_text().splitlines()
    assert len(lines) == 100
    assert lines[-4:] == ["line 119", '"""', "two", 'lines"""']
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*path.parent.iterdir()] == [path]


def test_two_sittings_share_the_history(tmp_path: Path) -> None:
    one, other = (FileHistory(tmp_path / "history", enabled=True) for _ in range(2))
    one.append_string("from one")
    other.append_string("from the other")
    assert list(FileHistory(tmp_path / "history", enabled=True).load_history_strings()) == [
        "from the other",
        "from one",
    ]


def test_no_history(tmp_path: Path) -> None:
    history = FileHistory(tmp_path / "history", enabled=False)
    history.append_string("secret")
    assert history.get_strings() == ["secret"]
    assert not (tmp_path / "history").exists()


def test_a_full_disk_keeps_what_was_there_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = FileHistory(tmp_path / "history", enabled=True)
    history.append_string("before")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    history.append_string("after")
    assert (tmp_path / "history").read_text() == "before\n"
    assert [file.name for file in tmp_path.iterdir()] == ["history"]


def test_keys_that_are_no_text(tmp_path: Path) -> None:
    history = FileHistory(tmp_path / "history", enabled=True)
    history.append_string(os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "history").read_text() == "caf?\n"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user whom the machine does not know, in a container, say."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_no_home_is_no_history(homeless: None) -> None:
    history = FileHistory(history_file(), enabled=True)
    history.append_string("hello")
    assert list(history.load_history_strings()) == []


def test_no_home_is_no_key_and_no_store(homeless: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["signin"]) == 1
    assert capsys.readouterr().err.startswith("Error: nobody knows your home directory")
    with pytest.raises(OllamaJupyterError, match="set HOME or OLLAMA_MODELS"):
        _ = Settings.from_env().models_dir
