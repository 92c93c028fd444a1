"""Create through a real server: what is made runs, refusals have their status, and leaving ends the work."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from convert import folders, vocabularies
from doors import serving
from models import write_tiny_gguf, write_tiny_lora
from test_create_adapter import ALPHA, RANK, matrices

from ollama_jupyter.names import Digest

Server = tuple[httpx.Client, subprocess.Popen[bytes], Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("store") / "models"
    with serving(models) as (door, child), httpx.Client(base_url=door.url, timeout=100, trust_env=False) as client:
        yield client, child, models
        assert child.poll() is None, "the server died"


def upload(client: httpx.Client, *paths: Path) -> dict[str, str]:
    given = {path.name: str(Digest.of(path.read_bytes())) for path in paths}
    for path in paths:
        client.post(f"/api/blobs/{given[path.name]}", content=path.read_bytes()).raise_for_status()
    return given


def create(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = client.post("/api/create", json=body)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1] == {"status": "success"}
    return lines


def says(client: httpx.Client, model: str) -> str:
    options = {"temperature": 0, "num_predict": 12, "num_ctx": 64}
    body = {"model": model, "prompt": "the of and", "raw": True, "stream": False, "options": options}
    answer = client.post("/api/generate", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["response"])


def test_shards_and_adapter_run(server: Server, tmp_path: Path) -> None:
    client, _, _ = server
    write_tiny_gguf(tmp_path / "split.gguf", shard_tensors=7)
    whole = write_tiny_gguf(tmp_path / "whole.gguf")
    deltas = {name: ALPHA / RANK * (b @ a) for name, (a, b) in matrices().items()}
    merged = write_tiny_gguf(tmp_path / "merged.gguf", deltas=deltas)
    lora = write_tiny_lora(tmp_path / "lora.gguf", matrices(), alpha=ALPHA)
    create(client, model="split", files=upload(client, *tmp_path.glob("split-*.gguf")))
    create(client, model="whole", files=upload(client, whole))
    create(client, model="merged", files=upload(client, merged))
    create(client, model="tuned", **{"from": "split"}, adapters=upload(client, lora))
    assert says(client, "split") == says(client, "whole")
    assert says(client, "tuned") == says(client, "merged") != says(client, "split")
    assert client.post("/api/show", json={"model": "split"}).json()["details"]["parameter_size"] == "29K"


def test_a_folder_quantized_runs(server: Server, tmp_path: Path) -> None:
    client, _, models = server
    vocabularies.byte_level(tmp_path)
    config = folders.decoder_config("LlamaForCausalLM", "llama")
    folders.save(tmp_path, config, folders.random_weights(folders.decoder_shapes(config)))
    lines = create(client, model="made", files=upload(client, *tmp_path.iterdir()), quantization="q8_0")
    zeros = [line for line in lines if line.get("digest") == "0" * 19]
    assert {line["status"] for line in zeros} == {"quantizing F16 model to Q8_0"}
    assert zeros[-1]["completed"] == zeros[-1]["total"]
    assert says(client, "made")
    assert not list(models.glob("partial/tmp-*"))


def test_one_object_without_a_stream(server: Server, tmp_path: Path) -> None:
    client, _, _ = server
    files = upload(client, write_tiny_gguf(tmp_path / "x.gguf"))
    answer = client.post("/api/create", json={"model": "x", "files": files, "quantize": "f16", "stream": False})
    assert answer.json() == {"status": "success"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"files": {"a.gguf": "x"}}, "invalid digest format"),
        ({"files": {"/a.gguf": "sha256:" + "0" * 64}}, "file path must be relative"),
        ({"from": "m", "draft_quantize": "Q8_0"}, "--draft-quantize requires a DRAFT model"),
        ({"from": "m", "quantize": "Q9"}, "unsupported quantization type Q9 - supported types are F32, F16, BF16, "),
        ({"from": "m", "remote_host": "h"}, "bad remote"),
        ({"files": {}}, "unknown type"),
        ({}, "neither 'from' or 'files' was specified"),
    ],
)
def test_refusals_have_a_status(server: Server, body: dict[str, Any], message: str) -> None:
    answer = server[0].post("/api/create", json={"model": "new"} | body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)


def test_the_end_of_the_server_ends_the_child(tmp_path: Path) -> None:
    models = tmp_path / "models"
    source = write_tiny_gguf(tmp_path / "x.gguf", embedding=1024, feed_forward=1024, layers=6)
    with serving(models) as (door, child), httpx.Client(base_url=door.url, timeout=100, trust_env=False) as client:
        body = {"model": "never", "files": upload(client, source), "quantize": "IQ3_S"}
        with client.stream("POST", "/api/create", json=body) as answer:
            lines = answer.iter_lines()
            while "quantizing" not in next(lines):
                pass
            (quantizer,) = psutil.Process(child.pid).children()
            child.terminate()
            assert "server is shutting down" in [*lines][-1]
            assert child.wait(20) == 0
    assert not quantizer.is_running()
    assert not list(models.glob("partial/tmp-*"))


def test_leaving_ends_the_child(server: Server, tmp_path: Path) -> None:
    client, child, models = server
    source = write_tiny_gguf(tmp_path / "x.gguf", embedding=1024, feed_forward=1024, layers=6)
    body = {"model": "never", "files": upload(client, source), "quantize": "IQ3_S"}
    with client.stream("POST", "/api/create", json=body) as answer:
        for line in answer.iter_lines():
            if "quantizing" in line:
                break
    deadline = time.monotonic() + 30
    while psutil.Process(child.pid).children() or list(models.glob("partial/tmp-*")):
        assert time.monotonic() < deadline, "it went on"
        time.sleep(0.05)
    assert client.post("/api/show", json={"model": "never"}).status_code == 404


def test_what_was_made_passes_verify(server: Server) -> None:
    """Everything that the tests above have left in the store."""
    answer = server[0].post("/api/verify", json={"stream": False}).json()
    assert answer["status"] == "success", answer
    names = {row["name"] for row in server[0].get("/api/tags").json()["models"]}
    assert names >= {"split:latest", "tuned:latest", "made:latest", "x:latest"}
