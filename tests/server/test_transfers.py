"""`/api/pull` and `/api/push` on the plain doors, with a fake library behind them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fakes import Raw
from plain_server import until

from ollama_jupyter.config import Host
from ollama_jupyter.errors import NotFound
from ollama_jupyter.messages import Progress, PullRequest, PushRequest
from ollama_jupyter.server.loopback import KernelDoor
from ollama_jupyter.server.standalone import Listener

ROUTES = {"/api/pull": PullRequest, "/api/push": PushRequest}
BLOB = Progress("pulling 000000000000", "sha256:" + "0" * 64, 20, 10)


@pytest.fixture(params=ROUTES)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_each_step_is_a_line(client: httpx.AsyncClient, ollama: Any, path: str) -> None:
    ollama.library.steps = [Progress("pulling manifest"), BLOB, Progress("success")]
    answer = await client.post(path, json={"name": "m", "insecure": True})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text.splitlines() == [
        '{"status":"pulling manifest"}',
        f'{{"status":"pulling 000000000000","digest":"{BLOB.digest}","total":20,"completed":10}}',
        '{"status":"success"}',
    ]
    assert ollama.library.calls == [(ROUTES[path]("m", insecure=True), True)]


async def test_without_stream_only_the_last(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"model": "m", "stream": False})
    assert (answer.text, answer.headers["content-type"]) == ('{"status":"success"}', "application/json")


async def test_whatever_goes_wrong_is_a_line_of_a_200_or_else_a_500(
    client: httpx.AsyncClient, ollama: Any, path: str
) -> None:
    failure = "pull model manifest: file does not exist"
    ollama.library.steps = [Progress("pulling manifest"), NotFound(failure)]
    answer = await client.post(path, json={"model": "m"})
    assert (answer.status_code, answer.text.splitlines()[-1]) == (200, f'{{"error":"{failure}"}}')
    whole = await client.post(path, json={"model": "m", "stream": False})
    assert (whole.status_code, whole.json()) == (500, {"error": failure})


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/api/pull", {}, "invalid model name"),
        ("/api/pull", {"model": "-a"}, "invalid model name"),
        ("/api/push", {}, "model is required"),
        ("/api/push", {"model": 1}, 'field "model" must be a string, got a number'),
        ("/api/pull", {"model": "m", "stream": "no"}, 'field "stream" must be a boolean, got a string'),
    ],
)
async def test_what_is_wrong_before_the_first_line(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], text: str
) -> None:
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": text})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_other_methods(client: httpx.AsyncClient, path: str, method: str) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("stream", [True, False])
async def test_who_goes_away_leaves_the_transfer(raw: Raw, ollama: Any, path: str, stream: bool) -> None:
    ollama.library.steps = [Progress("pulling manifest"), BLOB, asyncio.Event()]
    await raw.send("POST", path, f'{{"model":"m","stream":{str(stream).lower()}}}'.encode())
    if stream:
        await raw.head()
    await until(lambda: ollama.library.calls)
    await raw.close()
    await until(lambda: ollama.library.plays_ended)
    assert not ollama.active


async def test_the_end_of_the_server_is_the_last_line(raw: Raw, ollama: Any, path: str) -> None:
    ollama.library.steps = [Progress("pulling manifest"), asyncio.Event()]
    await raw.send("POST", path, b'{"model":"m"}')
    await raw.head()
    assert await raw.chunk() == b'{"status":"pulling manifest"}\n'
    await ollama.close()
    assert await raw.chunk() == b'{"error":"server is shutting down"}\n'
    assert ollama.library.closed


async def test_a_server_that_is_open_to_the_network_trusts_nobody(ollama: Any, path: str) -> None:
    listener = Listener(ollama, Host("http", "0.0.0.0", 0))
    port = listener.addresses[0].rpartition(":")[2]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert (await client.post(path, json={"model": "m"})).status_code == 200
    await listener.close()
    assert ollama.library.calls == [(ROUTES[path]("m"), False)]


async def test_nor_does_the_door_of_the_kernels(door: KernelDoor, ollama: Any, path: str) -> None:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as client:
        assert (await client.post(path, json={"model": "m"})).status_code == 200
    assert ollama.library.calls == [(ROUTES[path]("m"), False)]
