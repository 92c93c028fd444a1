"""Jupyter's door: who gets in, and Ollama's answers behind it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FINAL, Raw, fake_ollama
from tornado.httpclient import HTTPClientError

from ollama_jupyter.config import SETTINGS, Settings
from ollama_jupyter.errors import EngineError, ModelNotFound
from ollama_jupyter.messages import Chunk
from ollama_jupyter.server import app
from ollama_jupyter.server.extension import OllamaExtension
from ollama_jupyter.server.routes import METHODS, ROUTES

Run = Callable[[Coroutine[Any, Any, Any]], Any]

PATHS = [
    "ollama",
    "ollama/",
    "ollama/api/version",
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
    "ollama/v1/chat/completions",
    "ollama/v1/models",
    "ollama/v1/models/m",
    "ollama/v1/embeddings",
    "ollama/nope",
    "ollama/api/nope/deeper",
]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {
            # Terminals have an undecorated endpoint, which would be the warning that we look for in ours.
            "jpserver_extensions": {"ollama_jupyter": True, "jupyter_server_terminals": False},
            "allow_unauthenticated_access": False,
            "reraise_server_extension_failures": True,
        }
    }


@pytest.fixture
def run(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Run:
    return jp_asyncio_loop.run_until_complete


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The fake application that the extension gets instead of the real one."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    made = fake_ollama(folder)
    monkeypatch.setattr(app.Ollama, "create", classmethod(lambda cls, settings: made))
    return made


@pytest.fixture
def fetch(ollama: Any, jp_fetch: Any, run: Run) -> Callable[..., Any]:
    def call(*parts: str, **kwargs: Any) -> Any:
        try:
            return run(jp_fetch(*parts, allow_nonstandard_methods=True, **kwargs))
        except HTTPClientError as error:
            return error.response

    return call


@pytest.fixture
def post(fetch: Callable[..., Any]) -> Callable[..., Any]:
    return lambda path, body, **kwargs: fetch("ollama", path, method="POST", body=json.dumps(body), **kwargs)


@pytest.fixture
def port(ollama: Any, http_server: Any) -> int:
    [socket] = http_server._sockets.values()
    return int(socket.getsockname()[1])


@pytest.fixture
def base(jp_base_url: str) -> str:
    return f"{jp_base_url}ollama"


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
    assert list(ollama.library.folder.iterdir()) == []
    assert ("execute", "ollama_jupyter:generate") in asked


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


# ---- the extension -------------------------------------------------------------------------------------------------


@pytest.fixture
def extension(ollama: Any, jp_serverapp: Any, run: Run) -> Iterator[OllamaExtension]:
    """Started, as Jupyter does once its loop runs."""
    point = jp_serverapp.extension_manager.extension_points["ollama_jupyter"].app
    run(point._start_jupyter_server_extension(jp_serverapp))
    yield point
    run(point.stop_extension())


def test_kernels_are_given_the_kernel_door(
    extension: OllamaExtension, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    url = os.environ["OLLAMA_HOST"]
    door, _, key = url.partition("/k/")
    assert door == f"http://127.0.0.1:{extension.kernel_door.port}"  # type: ignore[union-attr]
    assert len(bytes.fromhex(key)) == 16
    caplog.set_level(logging.DEBUG)

    async def ask() -> int:
        raw = await Raw.open(int(door.rpartition(":")[2]))
        await raw.send("GET", f"/k/{key}/api/version")
        status, _, _ = await raw.answer()
        await raw.close()
        return status

    assert run(ask()) == 200
    assert "GET /api/version 200" in caplog.text
    assert key not in caplog.text


def test_the_outer_host_comes_back_when_the_server_ends(
    ollama: Any, jp_serverapp: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "elsewhere:1")
    point = jp_serverapp.extension_manager.extension_points["ollama_jupyter"].app
    run(point._start_jupyter_server_extension(jp_serverapp))
    assert os.environ["OLLAMA_HOST"] != "elsewhere:1"
    run(point.stop_extension())
    assert os.environ["OLLAMA_HOST"] == "elsewhere:1"
    assert ollama.manager.closed


def test_connect_kernels_off_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, ollama: Any, jp_serverapp: Any, run: Run
) -> None:
    ollama.settings = Settings(connect_kernels=False)
    point = jp_serverapp.extension_manager.extension_points["ollama_jupyter"].app
    run(point._start_jupyter_server_extension(jp_serverapp))
    assert "OLLAMA_HOST" not in os.environ
    assert point.kernel_door is None


def test_the_plain_listener_is_off_unless_asked_for(ollama: Any, jp_serverapp: Any, run: Run) -> None:
    point = jp_serverapp.extension_manager.extension_points["ollama_jupyter"].app
    run(point._start_jupyter_server_extension(jp_serverapp))
    assert point.listener is None
    run(point.stop_extension())


def test_stopping_tells_running_requests(
    extension: OllamaExtension, run: Run, port: int, base: str, jp_auth_header: Any, ollama: Any
) -> None:
    ollama.service.says(Chunk("one"), asyncio.Event())

    async def ask() -> list[bytes]:
        raw = await Raw.open(port)
        await raw.send("POST", f"{base}/api/generate", b'{"model":"m","prompt":"hi"}', **jp_auth_header)
        await raw.head()
        lines = [await raw.chunk()]
        assert extension.current_activity() == {f"POST {base}/api/generate": True}
        await extension.stop_extension()
        while lines[-1]:
            lines.append(await raw.chunk())
        await raw.close()
        return lines

    lines = run(asyncio.wait_for(ask(), 10))
    assert json.loads(lines[-2]) == {"error": "server is shutting down"}
    assert len(lines) == 3
    assert extension.current_activity() is None


class TestTraits:
    """The table of config.py as traitlets."""

    def test_every_setting_is_a_trait_with_help(self) -> None:
        traits = OllamaExtension.class_traits(config=True)
        for setting in SETTINGS:
            if setting.field:
                assert setting.env in traits[setting.field].help

    def test_config_wins_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "2")
        monkeypatch.setenv("OLLAMA_MAX_QUEUE", "9")
        app = OllamaExtension(num_parallel=8, keep_alive="10m", connect_kernels=False, origins=["http://a"])
        settings = app.server_settings()
        assert (settings.num_parallel, settings.max_queue, settings.keep_alive) == (8, 9, 600.0)
        assert (settings.connect_kernels, settings.origins) == (False, ("http://a",))

    def test_nothing_set_is_the_defaults(self) -> None:
        assert OllamaExtension().server_settings() == Settings()

    def test_numbers_are_durations_too(self) -> None:
        assert OllamaExtension(keep_alive=5.0).server_settings().keep_alive == 5.0
