"""A real registry for tests: Debian's docker-registry as a child process on a free loopback port."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from doors import free_port

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http:
  addr: {host}
"""


@contextlib.contextmanager
def docker_registry(folder: Path, extra: str = "") -> Iterator[str]:
    """The `host:port` of a registry that keeps its files in `folder`, until the block ends. It speaks http.

    Mark the test `needs("docker-registry")`. `extra` goes to the end of its configuration, which is YAML.
    """
    host = f"127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.with_suffix(".yml")
    config.write_text(_CONFIG.format(folder=folder, host=host) + extra)
    command = ["docker-registry", "serve", str(config)]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_up(host, child)
        yield host
    finally:
        child.terminate()
        child.wait(20)


def _wait_until_up(host: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError), contextlib.closing(http.client.HTTPConnection(host)) as connection:
            connection.request("GET", "/v2/")
            connection.getresponse()  # whatever it says: 401, say, where it wants to know who we are
            return
        time.sleep(0.02)
    raise AssertionError("docker-registry did not come up")


def blobs_of(folder: Path) -> set[str]:
    """The digests of the blobs that the registry of this folder holds, manifests among them."""
    found = folder.glob("docker/registry/v2/blobs/sha256/*/*/data")
    return {f"sha256:{path.parent.name}" for path in found}
