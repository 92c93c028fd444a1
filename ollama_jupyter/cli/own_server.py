"""A server for the life of one command, where there is none: a child process on a loopback port of its own."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from ollama_jupyter.cli.server import NOT_THERE, is_there
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError

START_SECONDS = 60.0
STOP_SECONDS = 8.0
LOG_LINES = 20
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
# The child imports from where we do. `-m` would look into the current folder first, which may be anybody's.
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from ollama_jupyter.cli.tethered import main; sys.exit(main())"


@contextmanager
def server_or_own() -> Iterator[Server]:
    """The server at OLLAMA_HOST. If that is on this machine and not there, one of our own until the block ends.

    Raises:
        OllamaError: if there is none and none of our own can take its place.
    """
    server = Server.find()
    if is_there(server):
        yield server
        return
    if not server.host.is_loopback or server.host.path:
        raise OllamaError(NOT_THERE)
    print(f"No server at {server.shown}: starting one for this run", file=sys.stderr, flush=True)
    with OwnServer() as own, _environment(OLLAMA_HOST=own.url, OLLAMA_API_KEY=own.key):
        yield Server.find()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    previous = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in previous.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class OwnServer:
    """The child, for as long as a `with` block lasts. Its key is for us alone: others on the machine have none.

    It holds the reading end of a pipe of ours and ends with us, however we end.

    Raises:
        OllamaError: on entering, with the last line of its log, if it does not come up.
    """

    def __init__(self) -> None:
        self.key = secrets.token_hex(16)
        self.url = ""
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._known = threading.Event()  # whether it came up or not
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OwnServer:
        try:
            self._process = self._start()
            self._known.wait(START_SECONDS)
            if not self.url:
                last = self._log[-1].replace(self.key, "•••") if self._log else "it said nothing"
                raise OllamaError(f"the server for this run did not start: {last}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        env = os.environ | {"OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_JUPYTER_API_KEY": self.key}
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *filter(None, sys.path)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for us
        )
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), name="own server", daemon=True)
        self._reader.start()
        return process

    def _read(self, output: IO[bytes]) -> None:
        """Keep the end of its log, and learn from it where it listens."""
        with output:
            for line in output:
                text = line.decode(errors="replace").strip()
                self._log.append(text)
                if found := _LISTENING.search(text):
                    self.url = f"http://127.0.0.1:{found[1]}"
                    self._known.set()
        self._known.set()

    def stop(self) -> None:
        """End the child: asked first, then made to."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.wait()
        self._reader.join(STOP_SECONDS)
