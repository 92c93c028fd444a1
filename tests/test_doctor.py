"""The doctor: what is wrong is told, with the command that mends it, and without secrets or paths."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from doors import free_port, serving
from models import write_tiny_gguf

from ollama_jupyter import doctor
from ollama_jupyter.config import Settings
from ollama_jupyter.doctor import machine, model, network, packages, store, variables
from ollama_jupyter.engine import devices
from ollama_jupyter.errors import EngineError
from ollama_jupyter.library import embedded
from ollama_jupyter.names import ModelName
from ollama_jupyter.reports import Check
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, and no package of the embedded model."""
    monkeypatch.setattr(embedded, "package_folders", tuple)
    return Store(tmp_path / "models")


def fill(files: Store, folder: Path, name: str = "tiny") -> Layer:
    path = write_tiny_gguf(folder / "tiny.gguf")
    weights = Layer(LAYER_TYPE + "model", files.blobs.put_file(path), path.stat().st_size)
    config = Layer(CONFIG_TYPE, files.blobs.put_bytes(b"{}"), 2)
    files.manifests.put(ModelName.parse(name), Manifest.build(config, (weights,)))
    return weights


def told(checks: Iterator[Check]) -> dict[str, str]:
    """Name -> status and detail."""
    return {check.name: f"{check.status}: {check.detail}" for check in checks}


# ---- as a whole ---------------------------------------------------------------------------------------------------


def test_this_machine_is_well(files: Store, tmp_path: Path) -> None:
    """The test machine has all that we need, and a model makes a token."""
    fill(files, tmp_path)
    settings = Settings(models=files.models, host=f"127.0.0.1:{free_port()}")
    report = doctor.run_checks(settings, {"PATH": "x"})
    assert [check for check in report.checks if check.status == "fail"] == []
    assert [check.name for check in report.checks] == [
        "packages",
        "jupyter",
        "llama.cpp",
        "cpu",
        "gpu",
        "memory",
        "cores",
        "settings",
        "port",
        "proxy",
        "store",
        "disk",
        "models",
        "token",
    ]
    assert "tiny:latest loaded and made a token" in report.checks[-1].detail
    assert report.ok
    assert json.loads(json.dumps(report.to_json()))["checks"][0]["name"] == "packages"


def test_every_complaint_has_its_command_and_none_has_a_path_or_a_secret(files: Store, tmp_path: Path) -> None:
    weights = fill(files, tmp_path)
    files.blobs.path(weights.digest).unlink()
    env = {
        "http_proxy": "http://user:hunter2@proxy.example:3128",
        "OLLAMA_NUM_PARALLEL": "hunter2",
        "OLLAMA_HOTS": "hunter2",
        "OLLAMA_GPU_OVERHEAD": "12345",
        "OLLAMA_API_KEY": "hunter2",
    }
    settings = Settings(models=files.models, shared=(tmp_path / "gone",), api_key="hunter2")
    report = doctor.run_checks(settings, env)
    bad = [check for check in report.checks if check.status != "ok"]
    assert {"settings", "proxy", "store", "models", "token"} <= {check.name for check in bad}
    assert [check for check in bad if not check.fix] == []
    assert not report.ok
    text = json.dumps(report.to_json())
    for secret in ("hunter2", str(tmp_path), str(Path.home()), "proxy.example"):
        assert secret not in text


def test_a_check_that_breaks_down_stops_no_other(files: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down() -> Iterator[Check]:
        raise RuntimeError("secret")

    for module in (packages, machine):
        monkeypatch.setattr(module, "checks", break_down)
    monkeypatch.setattr(model, "checks", lambda files: iter([Check("token", "ok", "fine")]))
    report = doctor.run_checks(Settings(models=files.models), {})
    assert [check.detail for check in report.checks if check.name == "doctor"] == [
        "the check itself broke down: RuntimeError"
    ] * 2
    assert report.checks[-1].detail == "fine"


# ---- the machine --------------------------------------------------------------------------------------------------

ALL = ["AVX", "AVX2", "FMA", "F16C", "AVX512"]


@pytest.mark.parametrize(
    ("words", "features", "status", "text"),
    [
        ({"avx", "avx2", "fma", "f16c", "avx512f"}, ALL, "ok", "uses AVX, AVX2, FMA, F16C, AVX512"),
        ({"avx", "avx2", "fma", "f16c"}, ["AVX"], "warn", "but not AVX2, FMA, F16C, which would be faster"),
        ({"avx", "avx2", "fma", "f16c", "avx512f"}, ALL[:4], "ok", "uses AVX, AVX2, FMA, F16C"),
        ({"sse2"}, [], "warn", "no special instructions; this old processor will be slow"),
        ({"asimd", "asimddp"}, ["NEON"], "warn", "but not DOTPROD"),
        ({"asimd", "asimddp"}, ["NEON", "DOTPROD"], "ok", "uses NEON, DOTPROD"),
        (set(), ALL, "ok", "uses AVX"),
    ],
)
def test_whether_the_build_uses_the_processor(words: set[str], features: list[str], status: str, text: str) -> None:
    check = machine.processor(words, features)
    assert (check.status, text in check.detail, bool(check.fix)) == (status, True, status != "ok")


def test_a_build_that_is_too_plain_is_to_be_compiled_here() -> None:
    assert machine.processor({"avx2"}, []).fix == (
        'pip install "llama-cpp-python<0.3.37,>=0.3.36" --force-reinstall --no-cache-dir --no-deps '
        "--no-binary llama-cpp-python"
    )


def test_gpus() -> None:
    device = {"name": "CUDA0", "description": "NVIDIA H100", "free": 70 * 10**9, "total": 80 * 10**9}
    assert machine.graphics([device], "NVIDIA").detail == "CUDA0 (NVIDIA H100, 70.0 GB of 80.0 GB free)"
    idle = machine.graphics([], "NVIDIA")
    assert (idle.status, idle.fix.startswith('CMAKE_ARGS="-DGGML_CUDA=on" pip install')) == ("warn", True)
    assert machine.graphics([], "").status == "ok"


def test_the_real_build_tells_its_features() -> None:
    build = devices.survey()
    assert build["version"].startswith("0.3.")
    assert isinstance(build["devices"], list)
    assert build["features"]


@pytest.mark.parametrize(
    ("ending", "how", "detail"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL", "instructions that this processor lacks"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", "did not load in time"),
        ("raise OSError('libcudart.so: cannot open /secret/path')", "OSError", "cannot be loaded (OSError)"),
        ("import os; os._exit(3)", "exit code 3", "cannot be loaded (exit code 3)"),
    ],
)
def test_a_build_that_does_not_load(ending: str, how: str, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.processes, "command", lambda module: (sys.executable, "-c", ending))
    with pytest.raises(EngineError) as caught:
        devices.survey()
    assert caught.value.message == how
    checks = list(machine.checks())
    assert [check.name for check in checks] == ["llama.cpp", "memory", "cores"]
    assert (checks[0].status, detail in checks[0].detail, bool(checks[0].fix)) == ("fail", True, True)


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.memory, "available_bytes", lambda: 10**8)
    check = machine._memory()
    assert (check.status, check.detail.endswith("0.1 GB free for models: only small models fit")) == ("warn", True)


# ---- the Python environment ---------------------------------------------------------------------------------------


def test_versions() -> None:
    good = ["httpx>=0.1", "no-such-thing; extra == 'demo'"]
    assert packages.versions(good).status == "ok"
    bad = packages.versions([*good, "no-such-thing>=1", "httpx<0.1"])
    assert (bad.status, bad.fix) == ("fail", 'pip install "no-such-thing>=1" "httpx<0.1"')
    assert "no-such-thing is not installed" in bad.detail


@pytest.mark.parametrize(
    ("said", "answer"),
    [([], None), ([None], None), ([True], True), ([False], False), ([None, True], True), ([False, True], False)],
)
def test_what_jupyter_was_told(tmp_path: Path, said: list[bool | None], answer: bool | None) -> None:
    folders = []
    for number, value in enumerate(said):
        folder = tmp_path / str(number) / "jupyter_server_config.d"
        folder.mkdir(parents=True)
        (folder / "other.json").write_text("{")
        if value is not None:
            content = {"ServerApp": {"jpserver_extensions": {"ollama_jupyter": value}}}
            (folder / "ollama_jupyter.json").write_text(json.dumps(content))
        folders.append(folder.parent)
    assert packages.enabled(folders) is answer


def test_the_extension() -> None:
    assert packages.extension(True, True).status == "ok"
    assert packages.extension(None, True).fix == "jupyter server extension enable ollama_jupyter"
    assert "disabled" in packages.extension(False, True).detail
    assert "JupyterLab's part" in packages.extension(True, False).detail


# ---- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ["ok: all at their defaults"]),
        ({"OLLAMA_MODELS": "/secret", "OLLAMA_API_KEY": "x"}, ["ok: 1 set, all understood"]),
        (
            {"OLLAMA_NUM_PARALLEL": "many"},
            ["warn: OLLAMA_NUM_PARALLEL cannot be read (not of its form), so its default holds"],
        ),
        (
            {"OLLAMA_KV_CACHE_TYPE": "q5"},
            ["warn: OLLAMA_KV_CACHE_TYPE cannot be read (must be f16, q8_0 or q4_0), so its default holds"],
        ),
        (
            {"OLLAMA_MODLES": "/secret"},
            ["warn: OLLAMA_MODLES is no setting of this program; did you mean OLLAMA_MODELS?"],
        ),
        ({"OLLAMA_NEW_ENGINE": "1"}, ["warn: OLLAMA_NEW_ENGINE is no setting of this program"]),
        ({"OLLAMA_TELEMETRY": "1"}, ["warn: OLLAMA_TELEMETRY: not applicable here: accepted and ignored"]),
    ],
)
def test_settings(env: Mapping[str, str], expected: list[str]) -> None:
    assert [f"{check.status}: {check.detail}" for check in variables.checks(env)] == expected


# ---- the network --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(body: bytes, server: str = "x", status: int = 200) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def version_string(self) -> str:
            return server

        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


@pytest.mark.parametrize(
    ("body", "server", "who"),
    [
        (b'{"version":"0.33.0"}', "", "Ollama 0.33.0"),
        (b'{"version":"0.33.0"}', "TornadoServer/6.5", "ollama-jupyter"),
        (
            b'{"error":"unauthorized: this server asks for its key as Bearer token"}',
            "TornadoServer/6.5",
            "ollama-jupyter",
        ),
        (b"hello", "TornadoServer/6.5", "another"),
        (b"[1]", "", "another"),
        (b"{}", "TornadoServer/6.5", "another"),
    ],
)
def test_who_answers(body: bytes, server: str, who: str) -> None:
    with answering(body, server) as port:
        assert network.who_answers(port) == who


def test_a_port_that_is_free_or_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert network.who_answers(free_port()) == ""
    monkeypatch.setattr(network, "SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert network.who_answers(silent.getsockname()[1]) == "another"


def test_our_own_server_is_known(tmp_path: Path) -> None:
    for key in ("", "k"):
        with serving(tmp_path, OLLAMA_JUPYTER_API_KEY=key) as (door, _):
            assert network.who_answers(int(door.url.rpartition(":")[2])) == "ollama-jupyter"


@pytest.mark.parametrize(
    ("number", "who", "status", "fix"),
    [
        (11434, "", "ok", ""),
        (11434, "ollama-jupyter", "ok", ""),
        (11434, "Ollama 0.33.0", "warn", "OLLAMA_HOST=127.0.0.1:11435 ollama-jupyter serve"),
        (8000, "another", "fail", "OLLAMA_HOST=127.0.0.1:11434 ollama-jupyter serve"),
    ],
)
def test_ports(number: int, who: str, status: str, fix: str) -> None:
    check = network.port(number, who)
    assert (check.status, check.fix, str(number) in check.detail) == (status, fix, True)


def test_another_machine_is_not_asked() -> None:
    [port, _] = network.checks(Settings(host="https://models.example:1"), {})
    assert port.detail == "OLLAMA_HOST names another machine, which is not asked from here"


@pytest.mark.parametrize(
    ("env", "status", "text"),
    [
        ({}, "ok", "none is set"),
        ({"https_proxy": "http://p"}, "warn", "https_proxy set, and 127.0.0.1 and localhost not excepted"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "localhost"}, "warn", "127.0.0.1 not excepted"),
        ({"HTTP_PROXY": "http://p", "no_proxy": "localhost, 127.0.0.1"}, "ok", "this machine excepted"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, "ok", "this machine excepted"),
        ({"NO_PROXY": "x"}, "ok", "none is set"),
    ],
)
def test_proxies(env: Mapping[str, str], status: str, text: str) -> None:
    check = network.proxies(env)
    assert (check.status, text in check.detail) == (status, True), check


# ---- the store ----------------------------------------------------------------------------------------------------


def test_an_empty_store_is_well(files: Store) -> None:
    assert told(store.checks(files)) | {"disk": ""} == {
        "store": "ok: the folder of OLLAMA_MODELS can be written; it is made when it is needed",
        "disk": "",
        "models": "ok: none in the store yet",
    }
    assert not files.models.exists()


def test_models_that_are_whole_and_not(files: Store, tmp_path: Path) -> None:
    weights = fill(files, tmp_path)
    assert told(store.checks(files))["models"] == "ok: 1 in the store, all of them whole"
    with files.blobs.path(weights.digest).open("ab") as file:
        file.write(b"x")
    assert told(store.checks(files))["models"] == "fail: incomplete, or of the wrong size: tiny:latest"
    assert list(store.checks(files))[-1].fix == "ollama-jupyter verify --repair tiny:latest"
    ModelName.parse("bad").manifest_path(files.models).parent.mkdir()
    ModelName.parse("bad").manifest_path(files.models).write_text("{")
    assert told(store.checks(files))["models"] == "fail: corrupt manifests: bad:latest"
    assert list(store.checks(files))[-1].fix == "ollama-jupyter rm bad:latest"


def test_many_bad_models_are_counted(files: Store) -> None:
    for number in range(5):
        path = ModelName.parse(f"bad:{number}").manifest_path(files.models)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    assert told(store.checks(files))["models"] == "fail: corrupt manifests: bad:0, bad:1, bad:2 and 2 more"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    check = store._folder(Path("/proc/self"))
    assert (check.status, check.detail.startswith("the folder of OLLAMA_MODELS cannot be written: ")) == ("fail", True)
    assert check.fix == 'export OLLAMA_MODELS="$HOME/models"'


def test_shared_folders(files: Store, tmp_path: Path) -> None:
    fill(Store(tmp_path / "shared"), tmp_path)
    shared = Store(files.models, (tmp_path / "shared", tmp_path / "gone"))
    assert [f"{check.status}: {check.detail}" for check in store.checks(shared)][1:3] == [
        "ok: shared folder 2 of OLLAMA_MODELS can be read",
        "warn: shared folder 3 of OLLAMA_MODELS cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize(("free", "status"), [(10**8, "fail"), (10**9, "warn"), (10**11, "ok")])
def test_room(free: int, status: str) -> None:
    check = store.room(free)
    assert (check.status, bool(check.fix)) == (status, status != "ok")


# ---- a token ------------------------------------------------------------------------------------------------------


def test_without_a_model_there_is_nothing_to_try(files: Store) -> None:
    [check] = model.checks(files)
    assert (check.status, check.fix) == ("warn", "ollama-jupyter pull smollm2:135m")


def test_the_smallest_model_is_tried(files: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(files, tmp_path)
    config = Layer(CONFIG_TYPE, files.blobs.put_bytes(b"{}"), 2)
    large = write_tiny_gguf(tmp_path / "large.gguf", layers=3)
    weights = Layer(LAYER_TYPE + "model", files.blobs.put_file(large), large.stat().st_size)
    files.manifests.put(ModelName.parse("a-large"), Manifest.build(config, (weights,)))
    tried: list[Path] = []
    monkeypatch.setattr(model, "trial", lambda path, shards: tried.append(path) or "")
    [check] = model.checks(files)
    assert (check.status, tried) == ("ok", [files.resolve("tiny").weights])


def test_a_model_that_does_not_run(files: Store, tmp_path: Path) -> None:
    """Its header is well, and llama.cpp finds out that a tensor is missing."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf", metadata={"llama.block_count": 3})
    weights = Layer(LAYER_TYPE + "model", files.blobs.put_file(path), path.stat().st_size)
    config = Layer(CONFIG_TYPE, files.blobs.put_bytes(b"{}"), 2)
    files.manifests.put(ModelName.parse("broken"), Manifest.build(config, (weights,)))
    [check] = model.checks(files)
    assert (check.status, check.fix) == ("fail", "ollama-jupyter verify --repair broken:latest")
    assert check.detail.startswith("broken:latest: ")
    assert str(tmp_path) not in check.detail


def test_a_model_that_does_not_fit(files: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(files, tmp_path)
    monkeypatch.setattr(model.memory, "available_bytes", lambda: 1000)
    [check] = model.checks(files)
    assert (check.status, "needs more memory than is free" in check.detail) == ("warn", True)


def test_the_embedded_model_stands_in(tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(model, "trial", lambda path, shards: tried.append(path) or "")
    [check] = model.checks(Store(tmp_path / "empty"))
    assert (check.status, tried) == ("ok", [smollm2])
    assert not (tmp_path / "empty").exists()
