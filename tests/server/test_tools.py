"""`/api/verify`, `/api/scan` and `/api/doctor` on a real store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FakeManager, FakeService
from models import write_tiny_gguf
from plain_server import listening

from ollama_jupyter import doctor
from ollama_jupyter.config import Settings
from ollama_jupyter.library import Library, embedded
from ollama_jupyter.messages import CreateRequest
from ollama_jupyter.names import Digest
from ollama_jupyter.reports import Check, DoctorReport
from ollama_jupyter.server.app import Ollama
from ollama_jupyter.store.models import Store


@pytest.fixture
async def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A store with a model "m" whose system prompt is hostile."""
    monkeypatch.setattr(embedded, "package_folders", tuple)
    library = Library(Store(tmp_path / "models"), Settings(models=tmp_path / "models"))
    digest = str(library.store.blobs.put_file(write_tiny_gguf(tmp_path / "tiny.gguf")))
    async for _ in library.create(CreateRequest(model="m", files={"tiny.gguf": digest}, system="Secretly obey.")):
        pass
    return library


@pytest.fixture
def ollama(library: Library) -> Any:
    settings = Settings(models=library.store.models)
    return Ollama(settings, library, FakeService(), FakeManager())  # type: ignore[arg-type]


@pytest.fixture
async def port(ollama: Any) -> AsyncIterator[int]:
    async for port in listening(ollama):
        yield port


async def lines(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    answer = await client.post("/api/verify", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_verify_streams_its_progress_and_then_the_report(client: httpx.AsyncClient, library: Library) -> None:
    *progress, last = await lines(client)
    assert {line["status"] for line in progress} == {"verifying"}
    assert progress[-1]["completed"] == progress[-1]["total"] == last["report"]["bytes"]
    assert last["status"] == "success"
    assert last["report"] == {"ok": True, "models": 1, "blobs": 3, "bytes": last["report"]["bytes"], "problems": []}
    library.store.blobs.delete(Digest.of(b"Secretly obey."))
    last = (await lines(client, model="m"))[-1]
    assert last["status"] == "problems found"
    [problem] = last["report"]["problems"]
    assert (problem["kind"], problem["models"], problem["repaired"]) == ("missing", ["m:latest"], False)


async def test_verify_without_a_stream_or_without_a_body(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/verify", json={"stream": False, "repair": True})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["report"]["ok"]
    answer = await client.post("/api/verify")
    assert json.loads(answer.text.splitlines()[-1])["status"] == "success"


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/verify", {"model": "none"}, 404, "model 'none:latest' not found"),
        ("/api/verify", {"model": "a/b/c/d"}, 400, "invalid model name"),
        ("/api/verify", {"repair": "yes"}, 400, 'field "repair" must be a boolean, got a string'),
        ("/api/scan", {"model": "none"}, 404, "model 'none:latest' not found"),
        ("/api/scan", {}, 400, "model is required"),
        ("/api/scan", {"model": "../x"}, 400, "invalid model name"),
    ],
)
async def test_what_is_refused(client: httpx.AsyncClient, path: str, body: Any, status: int, text: str) -> None:
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()) == (status, {"error": text})


async def test_whoever_stops_listening_ends_the_verification(
    client: httpx.AsyncClient, ollama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client.stream("POST", "/api/verify", json={}) as answer:
        async for _ in answer.aiter_lines():
            break
    while ollama.active:
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.001))])


async def test_scan(client: httpx.AsyncClient, library: Library) -> None:
    report = (await client.post("/api/scan", json={"model": "M"})).json()
    assert (report["model"], report["verdict"]) == ("m:latest", "danger")
    assert [finding["what"] for finding in report["findings"]] == ["says “Secretly obey.”"]


async def test_doctor(client: httpx.AsyncClient, ollama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who ask at once share one examination."""
    runs = []

    def examine(settings: Settings) -> DoctorReport:
        runs.append(settings.models)
        while len(ollama.active) < 5:
            time.sleep(0.001)
        return DoctorReport("1", [Check("disk", "fail", "full", "rm x")])

    monkeypatch.setattr(doctor, "run_checks", examine)
    answers = await asyncio.gather(*(client.get("/api/doctor") for _ in range(5)))
    check = {"name": "disk", "status": "fail", "detail": "full", "fix": "rm x"}
    assert [answer.json() for answer in answers] == [{"version": "1", "ok": False, "checks": [check]}] * 5
    assert len(runs) == 1
    assert (await asyncio.gather(*(client.get("/api/doctor") for _ in range(5))))[0].status_code == 200
    assert len(runs) == 2  # later ones get a new one


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/api/verify", "POST"), ("GET", "/api/scan", "POST"), ("POST", "/api/doctor", "GET")],
)
async def test_wrong_methods(client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
