"""Many models made at the same time, through a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from doors import serve
from models import write_tiny_gguf

from ollama_jupyter.names import Digest

COUNT = 12


def test_all_finish_and_the_list_answers_meanwhile(tmp_path: Path) -> None:
    """Each create waits for the child process that tries its file."""
    with serve(tmp_path / "models") as door, httpx.Client(base_url=door.url, timeout=100, trust_env=False) as client:

        def create(i: int) -> httpx.Response:
            data = write_tiny_gguf(tmp_path / f"{i}.gguf", seed=i).read_bytes()
            digest = str(Digest.of(data))
            client.post(f"/api/blobs/{digest}", content=data).raise_for_status()
            return client.post("/api/create", json={"model": f"m{i}", "files": {"a.gguf": digest}, "stream": False})

        with ThreadPoolExecutor(COUNT) as pool:
            creates = [pool.submit(create, i) for i in range(COUNT)]
            while not all(done.done() for done in creates):
                assert client.get("/api/tags", timeout=20).status_code == 200
            assert [done.result().status_code for done in creates] == [200] * COUNT
        assert len(client.get("/api/tags").json()["models"]) == COUNT
