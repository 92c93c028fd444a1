"""A terminal with somebody at it: a window of tmux, in which a program is driven by keys and judged by its screen."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SECONDS = 60.0


class Terminal:
    """A window of 80 x 30. `env` is all that the program gets of the environment."""

    def __init__(self, socket: Path, command: Sequence[str], env: Mapping[str, str], columns: int = 80) -> None:
        self._tmux = ("tmux", "-S", str(socket), "-f", "/dev/null")
        # The window outlives the program, and shows how that ended. Its first line is not the program's: what is erased
        # from there on tmux would keep as scrolled away.
        script = f"trap : INT; echo begun; {shlex.join(command)}; printf 'ended: %s\\n' $?; exec cat"
        words = [f"{name}={value}" for name, value in env.items()]
        size = ("-x", str(columns), "-y", "30")
        self._run("-u", "new-session", "-d", *size, "env", "-i", *words, "sh", "-c", script)

    @property
    def pid(self) -> int:
        """Of the shell that runs the program."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names (`Enter`, `C-c`); anything else is typed as text."""
        self._run("send-keys", *keys)

    def enter(self, *lines: str) -> None:
        """Type lines, each with Enter behind it, each once the prompt is there."""
        for line in lines:
            self._run("send-keys", "-l", line)
            self._run("send-keys", "Enter")

    def paste(self, text: str) -> None:
        """As a terminal pastes into a program that asked for brackets around it."""
        self._run("set-buffer", text)
        self._run("paste-buffer", "-p")

    def screen(self, *, colours: bool = False) -> list[str]:
        """The program's lines, of what scrolled away too, without blanks at their ends."""
        shown = self._run("capture-pane", "-p", "-S", "-", *(["-e"] if colours else []))
        return [line.rstrip() for line in shown.rstrip().split("\n")[1:]] or [""]

    def until(self, seen: Callable[[list[str]], bool] | str) -> list[str]:
        """The screen as soon as it is as wanted: a text is wanted as (the beginning of) its last line."""
        wanted = (lambda lines: lines[-1].startswith(seen)) if isinstance(seen, str) else seen
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if wanted(lines := self.screen()):
                return lines
            time.sleep(0.02)
        raise AssertionError(f"the screen never showed {seen!r}:\n" + "\n".join(self.screen()))

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # it has ended by itself
            self._run("kill-server")


@contextlib.contextmanager
def terminal(folder: Path, command: Sequence[str], env: Mapping[str, str], columns: int = 80) -> Iterator[Terminal]:
    window = Terminal(folder / "tmux", command, env, columns)
    try:
        yield window
    finally:
        window.close()
