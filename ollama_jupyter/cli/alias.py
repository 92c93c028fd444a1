"""`ollama-jupyter alias`: a command named `ollama` beside this one, for texts and habits that say so."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from ollama_jupyter.cli.commands import PROGRAM, Call
from ollama_jupyter.client.errors import OllamaError

NAME = "ollama"


def alias(call: Call) -> int:
    """Put it there, or take it away. A program of that name that is not ours is never touched, nor hidden.

    Raises:
        OllamaError: if there is such a program.
    """
    script = _script()
    target = script.with_name(script.name.replace(PROGRAM, NAME, 1))
    return _remove(target, script) if call.flags["remove"] else _add(target, script)


def _script() -> Path:
    """The command that we are called by, or the one that was installed with us."""
    called = Path(sys.argv[0]).absolute()
    for path in (called, *(Path(sysconfig.get_path("scripts")) / name for name in (PROGRAM, f"{PROGRAM}.exe"))):
        if path.name.startswith(PROGRAM) and path.is_file():
            return path
    raise OllamaError(f"the command {PROGRAM} is not installed")


def _add(target: Path, script: Path) -> int:
    if _is_ours(target, script):
        print(f"{target} is {PROGRAM} already")
        return 0
    for path in (target, *_on_path(target.name)):
        if os.path.lexists(path) and not _is_ours(path, script):
            raise OllamaError(f"{path} is another program named {NAME}, which an alias would hide")
    if os.name == "nt":  # links need a privilege there; a copy of the launcher does the same
        shutil.copy2(script, target)
    else:
        target.symlink_to(script.name)
    print(f"{target} is {PROGRAM} now")
    if str(target.parent) not in os.get_exec_path():
        print(f"{target.parent} is not on the PATH", file=sys.stderr)
    return 0


def _remove(target: Path, script: Path) -> int:
    if not os.path.lexists(target):
        print(f"there is no {target}")
    elif _is_ours(target, script):
        target.unlink()
        print(f"removed {target}")
    else:
        raise OllamaError(f"{target} is another program named {NAME}")
    return 0


def _on_path(name: str) -> Iterator[Path]:
    return (Path(folder) / name for folder in os.get_exec_path())


def _is_ours(path: Path, script: Path) -> bool:
    """Whether this is an alias: a link to a command of our name (of another environment, perhaps), or a copy of it."""
    if path.is_symlink():
        return path.readlink().name.startswith(PROGRAM)
    return path.is_file() and path.stat().st_size == script.stat().st_size and filecmp.cmp(path, script, shallow=False)
