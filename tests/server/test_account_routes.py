"""The routes of an account that nobody has here, and of a cloud that is not there."""

from __future__ import annotations

import httpx
import pytest

NOT_SIGNED_IN = {"error": "you are not currently signed in"}


@pytest.mark.parametrize(
    ("method", "path", "status", "answer"),
    [
        ("POST", "/api/me", 401, {"error": "unauthorized", "signin_url": "https://ollama.com/signin"}),
        ("POST", "/api/signout", 401, NOT_SIGNED_IN),
        ("DELETE", "/api/user/keys/c3NoLWVkMjU1MTk", 401, NOT_SIGNED_IN),
        ("GET", "/api/status", 200, {"cloud": {"disabled": True, "source": "config"}}),
        ("GET", "/api/experimental/model-recommendations", 200, {"recommendations": []}),
    ],
)
async def test_answers(client: httpx.AsyncClient, method: str, path: str, status: int, answer: object) -> None:
    reply = await client.request(method, path)
    assert (reply.status_code, reply.json()) == (status, answer)
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("service", ["search", "fetch"])
async def test_nothing_is_searched_or_fetched(client: httpx.AsyncClient, service: str) -> None:
    reply = await client.post(f"/api/experimental/web_{service}", json={"query": "x"})
    assert reply.status_code == 403
    assert reply.json() == {"error": f"ollama cloud is disabled: web {service} is unavailable"}
    empty = await client.post(f"/api/experimental/web_{service}")
    assert (empty.status_code, empty.json()) == (400, {"error": "missing request body"})


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/me", "POST"),
        ("HEAD", "/api/status", "GET"),
        ("GET", "/api/signout", "POST"),
        ("POST", "/api/user/keys/x", "DELETE"),
    ],
)
async def test_wrong_methods(client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    reply = await client.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allow)
