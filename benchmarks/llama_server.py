"""llama.cpp's own `llama-server`, from the sources of the installed llama-cpp-python, run over its libraries."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from server import free_port

PACKAGE = "llama-cpp-python"
SETTINGS = {
    "CMAKE_BUILD_TYPE": "Release",
    "LLAMA_BUILD_SERVER": "ON",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_OPENSSL": "OFF",
}


def llama_server() -> Path:
    """The program; built once, which takes minutes, and kept in the machine's folder for temporary files."""
    version = importlib.metadata.version(PACKAGE)
    folder = Path(tempfile.gettempdir()) / f"llama-server-{version}"
    program = folder / "bin" / "llama-server"
    if not program.exists():
        with tempfile.TemporaryDirectory() as scratch:
            _build(_sources(Path(scratch), version), folder)
    return program


def _sources(scratch: Path, version: str) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", PACKAGE]
    subprocess.run([*pip, "-d", str(scratch), f"{PACKAGE}=={version}"], check=True)
    with tarfile.open(next(scratch.glob("*.tar.gz"))) as archive:
        archive.extractall(scratch, filter="data")
    return next(scratch.glob("*/vendor/llama.cpp"))


def _build(sources: Path, folder: Path) -> None:
    settings = [f"-D{name}={value}" for name, value in SETTINGS.items()]
    subprocess.run(["cmake", "-S", str(sources), "-B", str(folder), *settings], check=True)
    subprocess.run(["cmake", "--build", str(folder), "--target", "llama-server", "-j", "2"], check=True)


@contextlib.contextmanager
def serving(model: Path, *args: str) -> Iterator[str]:
    """The base URL of a `llama-server` over `model`, until the block ends."""
    port = free_port()
    command = [str(llama_server()), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), *args]
    env = os.environ | {"LD_LIBRARY_PATH": str(_libraries())}
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url + "/health", child)
        yield url
    finally:
        child.terminate()
        child.wait(20)


def _libraries() -> Path:
    """Those that the server compared with runs over: built alike, so that only what is around them differs."""
    package = importlib.util.find_spec("llama_cpp")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "lib"


def _wait(url: str, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None:
        if _answers(url):
            return
        time.sleep(0.2)
    raise RuntimeError("llama-server did not come up")


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
