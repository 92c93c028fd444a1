"""The command line as people use it: its two outputs and its exit code, from a child process or from in here."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ollama_jupyter.cli import main

PROGRAM = (sys.executable, "-m", "ollama_jupyter")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def results(self) -> str:
        """What a command that succeeded put out."""
        assert self.code == 0, self.err
        return self.out


@dataclass(frozen=True)
class Cli:
    """Runs the command in `folder` against the server at `host`."""

    host: str
    folder: Path

    def child(self, *arguments: str, folder: Path | None = None) -> Done:
        """The program itself, as a process."""
        done = subprocess.run(
            [*PROGRAM, *arguments], cwd=folder or self.folder, env=self.env, text=True, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, folder: Path | None = None) -> Done:
        """Its main function, which spares the half second in which a process starts."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setenv("OLLAMA_HOST", self.host)
            patch.chdir(folder or self.folder)
            code = main(arguments)
        return Done(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str, folder: Path | None = None) -> str:
        """The results of a command that succeeds."""
        return self(*arguments, folder=folder).results

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
        return kept | {"OLLAMA_HOST": self.host}
