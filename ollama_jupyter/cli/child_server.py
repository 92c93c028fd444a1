"""A Jupyter server of our own, as a child process, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

START_SECONDS = 90.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1


class ChildServer:
    """Serves `folder` on a free loopback port behind a random token.

    Its runtime files are in a folder of their own, which is how its port and its kernels' connections are found.

    Raises:
        RuntimeError: on entering, with the end of the server's log, if it does not come up.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(24)
        self.url = ""
        self._runtime = Path(tempfile.mkdtemp(prefix="ollama-jupyter-"))
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ChildServer:
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
        command = [
            *(sys.executable, "-m", "jupyter_server"),
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            "--ServerApp.open_browser=False",
            f"--ServerApp.root_dir={self.folder}",
            # An installed package is enabled by its config file; a source tree may have none.
            "--ServerApp.jpserver_extensions=ollama_jupyter=True",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        env = os.environ | {"JUPYTER_TOKEN": self.token, "JUPYTER_RUNTIME_DIR": str(self._runtime)}
        # A session of its own: Ctrl-C is for us, and everything in it can be ended together.
        return subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            for file in self._runtime.glob("jpserver-*.json"):
                with contextlib.suppress(OSError, ValueError):
                    url = str(json.loads(file.read_text())["url"])
                    self._request("GET", url + "api/status")
                    return url
            time.sleep(_POLL_SECONDS)
        raise RuntimeError(f"the Jupyter server did not start; the end of its log:\n{self.log_tail()}")

    def log_tail(self, limit: int = 4000) -> str:
        """The last `limit` bytes of what the server wrote."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - limit))
        return self._log.read().decode(errors="replace").replace(self.token, "•••")

    def start_kernel(self, path: str) -> Path:
        """Open a session for the notebook at `path` (relative to the folder); the kernel's connection file."""
        name = Path(path).name
        session = {"path": path, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
        reply = self._request("POST", self.url + "api/sessions", session)
        return self._runtime / f"kernel-{reply['kernel']['id']}.json"

    def page(self, path: str) -> str:
        """The address at which a browser opens the notebook in JupyterLab."""
        return f"{self.url}lab/tree/{urllib.parse.quote(path)}?token={self.token}"

    def wait(self) -> None:
        """Until the server ends by itself (its own File > Shut Down, say)."""
        if self._process:
            self._process.wait()

    def _request(self, method: str, url: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches our loopback
        with opener.open(request, timeout=60) as reply:
            return json.load(reply)

    def stop(self) -> None:
        """End the server and with it its kernels: asked first, then made to."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._log.close()
        for file in self._runtime.glob("*"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._runtime.rmdir()
