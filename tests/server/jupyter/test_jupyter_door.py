"""Jupyter's door: who gets in, and Ollama's answers behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from fakes import FINAL, Raw

from ollama_jupyter import doctor
from ollama_jupyter.errors import EngineError, ModelNotFound
from ollama_jupyter.messages import Chunk, PullRequest, PushRequest
from ollama_jupyter.reports import DoctorReport
from ollama_jupyter.server.routes import METHODS, ROUTES

Run = Callable[[Coroutine[Any, Any, Any]], Any]

PATHS = [
    "ollama",
    "ollama/",
    "ollama/api/version",
    "ollama/api/status",
    "ollama/api/me",
    "ollama/api/signout",
    "ollama/api/user/keys/k",
    "ollama/api/experimental/web_search",
    "ollama/api/experimental/web_fetch",
    "ollama/api/experimental/model-recommendations",
    "ollama/api/tags",
    "ollama/api/ps",
    "ollama/api/show",
    "ollama/api/create",
    "ollama/api/copy",
    "ollama/api/delete",
    "ollama/api/blobs/sha256:" + "0" * 64,
    "ollama/api/generate",
    "ollama/api/chat",
    "ollama/api/pull",
    "ollama/api/push",
    "ollama/api/verify",
    "ollama/api/scan",
    "ollama/api/doctor",
    "ollama/api/embed",
    "ollama/api/embeddings",
    "ollama/v1/chat/completions",
    "ollama/v1/completions",
    "ollama/v1/responses",
    "ollama/v1/audio/transcriptions",
    "ollama/v1/messages",
    "ollama/v1/messages/count_tokens",
    "ollama/v1/rerank",
    "ollama/v1/models",
    "ollama/v1/models/m",
    "ollama/v1/embeddings",
    "ollama/openapi.yaml",
    "ollama/nope",
    "ollama/api/nope/deeper",
]


# ---- who gets in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_nothing_without_credentials(fetch: Callable[..., Any], path: str, ollama: Any) -> None:
    for method in METHODS:
        response = fetch(path, method=method, body=b"{}" if method == "POST" else None, headers={"Authorization": ""})
        assert response.code == 403, (method, path)
    assert ollama.library.calls == ollama.service.requests == []


def test_the_paths_above_cover_the_table() -> None:
    import re

    patterns = [re.compile(f"ollama{pattern}/?") for pattern, _ in ROUTES]
    first = {next(i for i, pattern in enumerate(patterns) if pattern.fullmatch(path)) for path in PATHS}
    assert first == set(range(len(ROUTES)))


def test_every_verb_is_decorated_for_jupyter(fetch: Callable[..., Any], jp_web_app: Any) -> None:
    """What the extension template's check_auth does; its warning would also fail the start of every test here."""
    from ollama_jupyter.server.jupyter import JupyterDoor, guard
    from ollama_jupyter.server.routes import handlers

    for pattern, handler in handlers(JupyterDoor, guard, "ollama"):
        assert jp_web_app._check_handler_auth(pattern, handler) == []


@pytest.mark.parametrize("scheme", ["token", "Bearer"])
def test_the_token_lets_in(fetch: Callable[..., Any], jp_serverapp: Any, scheme: str) -> None:
    token = jp_serverapp.identity_provider.token
    response = fetch("ollama/api/version", headers={"Authorization": f"{scheme} {token}"})
    assert response.code == 200
    assert json.loads(response.body)["version"].count(".") == 2


def test_a_cookie_needs_the_xsrf_token_for_post(
    fetch: Callable[..., Any], post: Callable[..., Any], jp_serverapp: Any, base: str
) -> None:
    token = jp_serverapp.identity_provider.token
    page = fetch("api/status", params={"token": token}, headers={"Authorization": ""}, follow_redirects=False)
    cookies = [value.split(";")[0] for value in page.headers.get_list("Set-Cookie")]
    session = "; ".join(cookie for cookie in cookies if not cookie.startswith("_xsrf"))
    assert session, "the server gave no session cookie"
    headers = {"Authorization": "", "Cookie": session}
    assert fetch("ollama/api/tags", headers=dict(headers)).code == 200
    refused = post("api/show", {"model": "m"}, headers=dict(headers))
    assert refused.code == 403
    assert "xsrf" in json.loads(refused.body)["error"].lower()
    xsrf = headers | {"Cookie": f"{session}; _xsrf=abc", "X-XSRFToken": "abc"}
    assert post("api/show", {"model": "m"}, headers=xsrf).code == 200


def test_a_foreign_host_name_is_refused(run: Run, port: int, base: str, jp_auth_header: dict[str, str]) -> None:
    async def ask() -> tuple[int, dict[str, str], bytes]:
        raw = await Raw.open(port)
        await raw.send("POST", f"{base}/api/generate", b"{}", Host="evil.example", **jp_auth_header)
        answer = await raw.answer()
        await raw.close()
        return answer

    status, _, body = run(ask())
    assert status == 403
    assert "error" in json.loads(body)


def test_who_may_only_read_cannot_generate_or_upload(
    fetch: Callable[..., Any], post: Callable[..., Any], jp_serverapp: Any, ollama: Any
) -> None:
    asked = []

    async def is_authorized(handler: Any, user: Any, action: str, resource: str) -> bool:
        asked.append((action, resource))
        return action == "read"

    jp_serverapp.authorizer.is_authorized = is_authorized
    assert fetch("ollama/api/tags").code == 200
    assert post("api/show", {"model": "m"}).code == 200
    assert post("api/generate", {"model": "m"}).code == 403
    assert fetch("ollama/api/blobs/sha256:" + "0" * 64, method="POST", body=b"x").code == 403
    assert not any(call[0] == "upload" for call in ollama.library.calls), "the upload was begun"
    assert ("execute", "ollama_jupyter:generate") in asked


def test_who_may_only_read_may_have_things_examined_but_not_mended(
    fetch: Callable[..., Any], post: Callable[..., Any], jp_serverapp: Any, ollama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_authorized(handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read"

    jp_serverapp.authorizer.is_authorized = is_authorized
    monkeypatch.setattr(doctor, "run_checks", lambda settings: DoctorReport("1", []))
    assert json.loads(fetch("ollama/api/doctor").body) == {"version": "1", "ok": True, "checks": []}
    assert json.loads(post("api/scan", {"model": "m"}).body)["verdict"] == "nothing suspicious"
    assert post("api/verify", {}).code == 403
    assert not any(call == "verify" for call in ollama.library.calls)
    for path in ("verify", "scan", "doctor"):
        method = "GET" if path == "doctor" else "POST"
        assert fetch(f"ollama/api/{path}", method=method, body=None, headers={"Authorization": "token no"}).code == 403


def test_preflight_is_jupyters(fetch: Callable[..., Any]) -> None:
    response = fetch("ollama/api/chat", method="OPTIONS", headers={"Authorization": "", "Origin": "http://x.example"})
    assert response.code == 204 or response.code == 200
    assert "Access-Control-Allow-Origin" not in response.headers


# ---- what is answered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["ollama", "ollama/"])
def test_the_folder_itself(fetch: Callable[..., Any], path: str) -> None:
    response = fetch(path, follow_redirects=False)
    assert (response.code, response.body) == (200, b"Ollama is running")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert fetch(path, method="HEAD").code == 200


def test_unknown_path_and_wrong_method(fetch: Callable[..., Any]) -> None:
    missing = fetch("ollama/api/nope")
    assert (missing.code, missing.body) == (404, b"404 page not found")
    wrong = fetch("ollama/api/show")
    assert (wrong.code, wrong.body, wrong.headers["Allow"]) == (405, b"405 method not allowed", "POST")


def test_generate_streams_lines_labelled_as_ollama_does(post: Callable[..., Any]) -> None:
    response = post("api/generate", {"model": "m", "prompt": "hi"})
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-cache"
    assert "Etag" not in response.headers
    lines = [json.loads(line) for line in response.body.splitlines()]
    assert [line["response"] for line in lines] == ["Hel", "lo", ""]
    assert [line["done"] for line in lines] == [False, False, True]


def test_errors_speak_ollama(post: Callable[..., Any], ollama: Any) -> None:
    ollama.service.says(ModelNotFound("x"))
    response = post("api/chat", {"model": "x", "messages": [{"role": "user", "content": "hi"}]})
    assert (response.code, json.loads(response.body)) == (404, {"error": "model 'x' not found"})
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


def test_an_error_of_ours_tells_nothing_about_the_inside(post: Callable[..., Any], ollama: Any) -> None:
    ollama.service.says(RuntimeError("/home/someone/secret"))
    response = post("api/generate", {"model": "m", "prompt": "hi"})
    assert (response.code, json.loads(response.body)) == (500, {"error": "internal server error"})


def test_model_names_with_slashes(fetch: Callable[..., Any]) -> None:
    answer = json.loads(fetch("ollama/v1/models/ns/m:latest").body)
    assert answer["id"] == "ns/m:latest"
    assert answer["owned_by"] == "ns"


# ---- streams and disconnects ---------------------------------------------------------------------------------------


def test_a_stream_arrives_in_pieces(run: Run, port: int, base: str, jp_auth_header: Any, ollama: Any) -> None:
    gate = asyncio.Event()
    ollama.service.says(Chunk("one"), gate, Chunk("two"), FINAL)

    async def ask() -> None:
        raw = await Raw.open(port)
        await raw.send("POST", f"{base}/api/generate", b'{"model":"m","prompt":"hi"}', **jp_auth_header)
        status, _ = await raw.head()
        assert status == 200
        assert json.loads(await raw.chunk())["response"] == "one"
        gate.set()
        assert json.loads(await raw.chunk())["response"] == "two"
        assert json.loads(await raw.chunk())["done"] is True
        assert await raw.chunk() == b""
        await raw.close()

    run(asyncio.wait_for(ask(), 10))


@pytest.mark.parametrize("said", [[], [Chunk("one")], [Chunk("one"), Chunk("two")]], ids=["queued", "first", "later"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnect_cancels_in_every_state(
    run: Run, port: int, base: str, jp_auth_header: Any, ollama: Any, said: list[Chunk], stream: bool
) -> None:
    ollama.service.says(*said, asyncio.Event(), FINAL)

    async def ask() -> None:
        raw = await Raw.open(port)
        body = json.dumps({"model": "m", "prompt": "hi", "stream": stream}).encode()
        await raw.send("POST", f"{base}/api/generate", body, **jp_auth_header)
        await ollama.service.started.wait()
        if stream and said:
            await raw.head()
        await raw.close()
        await ollama.service.closed.wait()

    run(asyncio.wait_for(ask(), 10))
    assert ollama.service.outcome == "cancelled"
    assert ollama.active == set()


def test_who_pulls_by_this_door_is_not_trusted_with_private_addresses(post: Callable[..., Any], ollama: Any) -> None:
    assert post("api/pull", {"model": "m"}).code == post("api/push", {"model": "m"}).code == 200
    assert ollama.library.calls == [(PullRequest("m"), False), (PushRequest("m"), False)]


def test_an_error_in_the_middle_is_the_last_line(post: Callable[..., Any], ollama: Any) -> None:
    ollama.service.says(Chunk("one"), EngineError("the engine ended"))
    response = post("api/generate", {"model": "m", "prompt": "hi"})
    assert response.code == 200
    lines = [json.loads(line) for line in response.body.splitlines()]
    assert lines[-1] == {"error": "the engine ended"}
    assert len(lines) == 2


def test_activity_is_tracked_unless_asked_not_to(fetch: Callable[..., Any], jp_web_app: Any) -> None:
    fetch("ollama/api/ps", params={"no_track_activity": "1"})
    assert "api_last_activity" not in jp_web_app.settings
    fetch("ollama/api/ps")
    assert "api_last_activity" in jp_web_app.settings
