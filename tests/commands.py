"""The command line as people use it: a child process, its two outputs, its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (sys.executable, "-m", "ollama_jupyter")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cli:
    """Runs the command in `folder` against the server at `host`."""

    host: str
    folder: Path

    def __call__(self, *arguments: str, folder: Path | None = None, **env: str) -> Done:
        done = subprocess.run(
            [*PROGRAM, *arguments], cwd=folder or self.folder, env=self.env | env, text=True, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, folder: Path | None = None, **env: str) -> str:
        """The results of a command that succeeds."""
        done = self(*arguments, folder=folder, **env)
        assert done.code == 0, done.err
        return done.out

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
        return kept | {"OLLAMA_HOST": self.host, "COLUMNS": "80"}
