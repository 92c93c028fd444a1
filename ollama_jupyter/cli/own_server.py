"""A server for the life of one command, where there is none: a child process on a loopback port of its own."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from ollama_jupyter.cli.server import NOT_THERE, is_there
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError

START_SECONDS = 60.0
STOP_SECONDS = 8.0
_POLL_SECONDS = 0.05
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
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
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OwnServer:
        try:
            self._process = self._start()
            self.url = self._wait_until_up(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        env = os.environ | {"OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_JUPYTER_API_KEY": self.key}
        # A session of its own: Ctrl-C in the terminal is for us.
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD, *filter(None, sys.path)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            if found := _LISTENING.search(self._written()):
                return f"http://127.0.0.1:{int(found[1])}"
            if ended:
                break
            time.sleep(_POLL_SECONDS)
        raise OllamaError(f"the server for this run did not start: {self._last_words()}")

    def _written(self) -> bytes:
        self._log.seek(0)
        return self._log.read()

    def _last_words(self) -> str:
        lines = self._written().decode(errors="replace").replace(self.key, "•••").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """End the child: asked first, then made to."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()
        self._log.close()
