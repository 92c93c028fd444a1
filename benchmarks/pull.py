"""A pull of a 2 GB blob over loopback, against `curl` writing the same file, then `sha256sum` and `sync` of it.

Run `python benchmarks/pull.py`. Interleaved rounds in one run; the figure is the median of the rounds' ratios. The pull
runs in a process of its own, whose peak memory is told, for the big blob and for a small one.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
from parallel import foreign_load

SIZE, SMALL, ROUNDS = 2_000_000_000, 20_000_000, 5
CONFIG = b"{}"
PULL = """
import json, resource, sys, threading, time
from pathlib import Path
from ollama_jupyter.names import ModelName
from ollama_jupyter.registry import Access, pull
from ollama_jupyter.store.models import Store
store, name = Store(Path(sys.argv[1])), ModelName.parse(sys.argv[2])
started = time.perf_counter()
access = Access(insecure=True, trusted=True)
pull(store, name, access=access, report=lambda progress: None, cancel=threading.Event(), prune=True)
seconds = time.perf_counter() - started
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


class Handler(BaseHTTPRequestHandler):
    """A registry of two models, `big` and `small`, whose blobs are sent by the kernel."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        path = self.folder / self.path.removeprefix("/v2/library/").replace("/", "-")
        size = path.stat().st_size
        match = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(match[1]), int(match[2]) + 1) if match else (0, size)
        self.send_response(206 if match else 200)
        if match:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.flush()
        with path.open("rb") as file:
            while start < end:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a stream that took over half of another's part: that one's connection is closed early


def serve(folder: Path, port: multiprocessing.Queue[int]) -> None:
    Handler.folder = folder
    server = Server(("127.0.0.1", 0), Handler)
    port.put(server.server_port)
    server.serve_forever()


def put_model(folder: Path, model: str, size: int) -> str:
    """A model of one blob of random bytes; the blob's digest."""
    sha, path = hashlib.sha256(), folder / "blob"
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            piece = os.urandom(min(1 << 20, size - start))
            sha.update(piece)
            file.write(piece)
    digest = f"sha256:{sha.hexdigest()}"
    path.rename(folder / f"{model}-blobs-{digest}")
    config = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
    (folder / f"{model}-blobs-{config}").write_bytes(CONFIG)
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": size}]
    manifest = {"config": {"mediaType": "config", "digest": config, "size": len(CONFIG)}, "layers": layers}
    (folder / f"{model}-manifests-latest").write_text(json.dumps(manifest))
    return digest


def by_hand(url: str) -> list[float]:
    """Seconds of curl, sha256sum and sync."""
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder, "blob"))
        seconds = []
        for command in (["curl", "-sSfo", target, url], ["sha256sum", target], ["sync", target]):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
    return seconds


def by_us(host: str, model: str) -> tuple[float, float]:
    """Seconds of a pull into an empty store, and the peak memory of its process in MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PULL, folder, f"{host}/library/{model}"]
        seconds, peak = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return seconds, peak / 1024


def measure(host: str, digest: str) -> None:
    _, small_peak = by_us(host, "small")
    ratios = []
    for round_ in range(ROUNDS):
        hand = by_hand(f"http://{host}/v2/library/big/blobs/{digest}")
        seconds, peak = by_us(host, "big")
        ratios.append(sum(hand) / seconds)
        parts = " + ".join(f"{part:.1f}" for part in hand)
        print(
            f"round {round_}: curl, sha256sum, sync {parts} s; pull {seconds:.1f} s, {ratios[-1]:.2f}x; {peak:.0f} MB"
        )
    print(f"median ratio {statistics.median(ratios):.2f} (wanted: 0.8); peak of a pull of 20 MB: {small_peak:.0f} MB")


if __name__ == "__main__":
    print(f"{psutil.cpu_count()} cores, {foreign_load():.1f} of them busy with something else")
    with tempfile.TemporaryDirectory() as root:
        digests = [put_model(Path(root), model, size) for model, size in (("big", SIZE), ("small", SMALL))]
        ports: multiprocessing.Queue[int] = multiprocessing.Queue()
        server = multiprocessing.Process(target=serve, args=(Path(root), ports), daemon=True)
        server.start()
        try:
            measure(f"127.0.0.1:{ports.get()}", digests[0])
        finally:
            server.terminate()
            server.join()
