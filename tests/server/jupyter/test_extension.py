"""The extension: kernel door, plain listener, its end, settings as traitlets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import Raw
from plain_server import until
from traitlets import TraitError

from ollama_jupyter.config import SETTINGS, Settings
from ollama_jupyter.messages import Chunk, Progress, PullRequest
from ollama_jupyter.server.extension import OllamaExtension, kernel_environment

Run = Callable[[Coroutine[Any, Any, Any]], Any]


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


@pytest.mark.parametrize("stream", [True, False])
def test_a_pull_by_a_kernel_is_activity_while_it_goes_on(
    extension: OllamaExtension, run: Run, ollama: Any, jp_web_app: Any, stream: bool
) -> None:
    gate = asyncio.Event()
    ollama.library.steps = [Progress("pulling manifest"), Progress("pulling x"), gate, Progress("success")]
    door, _, key = os.environ["OLLAMA_HOST"].partition("/k/")

    async def ask() -> None:
        raw = await Raw.open(int(door.rpartition(":")[2]))
        await raw.send("POST", f"/k/{key}/api/pull", json.dumps({"model": "m", "stream": stream}).encode())
        await until(lambda: "api_last_activity" in jp_web_app.settings)
        gate.set()
        await raw.head()
        await raw.close()

    assert "api_last_activity" not in jp_web_app.settings
    run(asyncio.wait_for(ask(), 10))
    assert ollama.library.calls == [(PullRequest("m", stream=stream), False)]


@pytest.mark.parametrize(
    ("outer", "exempt"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, "127.0.0.1,localhost"),
        ({"https_proxy": "http://proxy.example:3128", "NO_PROXY": "a.example"}, "a.example,127.0.0.1,localhost"),
    ],
)
def test_no_proxy_stands_between_a_kernel_and_the_door(outer: dict[str, str], exempt: str | None) -> None:
    given = kernel_environment("http://127.0.0.1:1/k/x", outer)
    assert given["OLLAMA_HOST"] == "http://127.0.0.1:1/k/x"
    assert given.get("NO_PROXY") == exempt


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


def test_the_plain_listener_answers_without_jupyters_token(ollama: Any, jp_serverapp: Any, run: Run) -> None:
    ollama.settings = Settings(listen="127.0.0.1:0", connect_kernels=False)
    point = jp_serverapp.extension_manager.extension_points["ollama_jupyter"].app
    run(point._start_jupyter_server_extension(jp_serverapp))

    async def ask() -> int:
        raw = await Raw.open(int(point.listener.addresses[0].rpartition(":")[2]))
        await raw.send("GET", "/api/version")
        status, _, _ = await raw.answer()
        await raw.close()
        return status

    assert run(ask()) == 200
    run(point.stop_extension())
    assert point.listener is None


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

    def test_bad_text_names_the_trait(self) -> None:
        with pytest.raises(TraitError, match=r"OllamaExtension\.keep_alive"):
            OllamaExtension(keep_alive="soon").server_settings()

    def test_the_models_are_a_search_path_here_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OLLAMA_MODELS", os.pathsep.join(["/env", "/env-shared"]))
        settings = OllamaExtension(models=os.pathsep.join(["/own", "/shared"])).server_settings()
        assert (settings.models_dir, settings.shared_dirs) == (Path("/own"), (Path("/shared"),))
        settings = OllamaExtension(models="/own").server_settings()
        assert (settings.models_dir, settings.shared_dirs) == (Path("/own"), ())

    def test_numbers_are_durations_too(self) -> None:
        assert OllamaExtension(keep_alive=5.0).server_settings().keep_alive == 5.0
