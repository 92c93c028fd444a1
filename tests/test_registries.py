"""Models to and from a real registry, through real servers and by real clients."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from doors import Door, jupyter, serve, serving
from gated_proxy import gated
from models import write_tiny_gguf
from registries import docker_registry, docker_registry_tls

pytestmark = pytest.mark.needs("docker-registry")

FEW = {"num_predict": 4, "temperature": 0}


@dataclass
class Place:
    """A registry that holds `ns/tiny:1` and `ns/other`, of the same weights, and a server that made them."""

    door: Door
    models: Path
    host: str

    @property
    def name(self) -> str:
        return f"{self.host}/ns/tiny:1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The model's weights are 6 MB, so that there is a middle of their way."""
    base = tmp_path_factory.mktemp("registries")
    weights = write_tiny_gguf(base / "tiny.gguf", embedding=256, feed_forward=768).read_bytes()
    with docker_registry(base / "registry") as host, serve(base / "models", HOME=str(base)) as door:
        place = Place(door, base / "models", host)
        with _client(door) as client:
            digest = client.create_blob(base / "tiny.gguf")
            client.create(place.name, files={"tiny.gguf": digest}, system="be brief", parameters={"top_k": 1})
            client.push(place.name, insecure=True)
            client.create(f"{host}/ns/other", from_=place.name, system="be long")
            client.push(f"{host}/ns/other", insecure=True)
        assert len(weights) > 6_000_000
        yield place
    assert not (base / ".ollama" / "id_ed25519").exists(), "nobody asked who we are"


class _Client(ollama.Client):
    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def _client(door: Door) -> _Client:
    return _Client(host=door.url, headers=door.headers, timeout=60)


def lines(door: Door, path: str, **body: Any) -> list[dict[str, Any]]:
    """The lines of a stream."""
    answer = httpx.post(door.url + path, json=body, headers=door.headers, timeout=60)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


def digests(door: Door) -> dict[str, str]:
    rows = httpx.get(door.url + "/api/tags", headers=door.headers).json()["models"]
    return {row["name"]: row["digest"] for row in rows}


def blobs(models: Path) -> set[str]:
    return {path.name for path in (models / "blobs").iterdir()}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- there and back -------------------------------------------------------------------------------------------------


def test_a_round_trip_gives_the_same_model(place: Place) -> None:
    name = f"{place.host}/ns/round:trip"
    with _client(place.door) as client:
        client.copy(place.name, name)
        before, said = digests(place.door)[name], client.generate(name, "hi", options=FEW).response
        pushed = list(client.push(name, insecure=True, stream=True))
        assert [step.status for step in (pushed[0], pushed[-2], pushed[-1])] == [
            "retrieving manifest",
            "pushing manifest",
            "success",
        ]
        for known in digests(place.door):
            client.delete(known)
        assert blobs(place.models) == set()

        pulled = list(client.pull(name, insecure=True, stream=True))
        statuses = list(dict.fromkeys(step.status for step in pulled))
        assert statuses[0] == "pulling manifest"
        assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
        weights = [step for step in pulled if (step.total or 0) > 6_000_000]
        assert weights[-1].completed == weights[-1].total
        assert digests(place.door) == {name: before}
        assert client.generate(name, "hi", options=FEW).response == said
        assert client.pull(place.name, insecure=True).status == "success"  # the same blobs: nothing is fetched
    for blob in (place.models / "blobs").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name.removeprefix("sha256-")


def test_without_stream_there_is_one_object(place: Place) -> None:
    for path in ("/api/push", "/api/pull"):
        answer = httpx.post(
            place.door.url + path, json={"name": place.name, "insecure": True, "stream": False}, timeout=60
        )
        assert (answer.status_code, answer.text) == (200, '{"status":"success"}')


def test_create_pulls_a_base_that_is_not_here_over_https(place: Place, tmp_path: Path) -> None:
    """The whole pull with its own `success`, then the making."""
    with docker_registry_tls(tmp_path / "registry") as (host, certificate):
        base = f"{host}/ns/base:1"
        with serve(tmp_path / "models", SSL_CERT_FILE=str(certificate), HOME=str(tmp_path)) as door:
            with _client(door) as client:
                digest = client.create_blob(write_tiny_gguf(tmp_path / "tiny.gguf"))
                client.create(base, files={"tiny.gguf": digest})
                client.push(base)
                client.delete(base)
            said = [line.get("status") for line in lines(door, "/api/create", **{"model": "child", "from": base})]
            assert said[0] == "pulling manifest"
            assert said.count("success") == 2
            assert said[-1] == "success"
            assert set(digests(door)) == {base, "child:latest"}


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "model", "said"),
    [
        ("/api/pull", "{host}/ns/absent", ["pulling manifest", "pull model manifest: file does not exist"]),
        ("/api/create", "{host}/ns/absent", ["pulling manifest", None]),
        (
            "/api/push",
            "absent",
            ["retrieving manifest", "couldn't retrieve manifest", "model 'absent:latest' not found"],
        ),
        (
            "/api/push",
            "../../etc/passwd",
            ["retrieving manifest", "couldn't retrieve manifest", "unqualified name: ../../etc/passwd:latest"],
        ),
        (
            "/api/push",
            "-a",
            [
                "retrieving manifest",
                "couldn't retrieve manifest",
                "unqualified name: registry.ollama.ai/library/-a:latest",
            ],
        ),
    ],
)
def test_errors_are_the_last_line(place: Place, path: str, model: str, said: list[str | None]) -> None:
    model = model.format(host=place.host)
    body = {"model": "new", "from": model} if path == "/api/create" else {"model": model, "insecure": True}
    found = lines(place.door, path, **body)
    assert [line.get("status") for line in found[:-1]] == said[:-1]
    assert list(found[-1]) == ["error"]
    assert said[-1] in (None, found[-1]["error"])
    whole = httpx.post(place.door.url + path, json={**body, "stream": False}, timeout=60)
    assert (whole.status_code, whole.json()) == (500, found[-1])


# ---- many at once, and people who leave -----------------------------------------------------------------------------


def test_two_clients_share_one_download_and_one_that_leaves_does_not_end_it(place: Place, tmp_path: Path) -> None:
    with gated(place.host, 3_000_000) as proxy, serve(tmp_path / "models") as door:
        body = {"model": f"{proxy.host}/ns/tiny:1", "insecure": True}
        with ThreadPoolExecutor(2) as pool:
            with httpx.stream("POST", f"{door.url}/api/pull", json=body, timeout=60) as leaving:
                _first_progress(leaving.iter_lines())
                staying = [pool.submit(lines, door, "/api/pull", **body) for _ in range(2)]
                until(lambda: proxy.passed >= 3_000_000)
                assert httpx.get(f"{door.url}/api/tags").status_code == 200
            proxy.open()
            for client in staying:
                said = client.result()
                assert said[0] == {"status": "pulling manifest"}
                assert said[-1] == {"status": "success"}
        assert proxy.passed < 7_500_000
        assert set(digests(door)) == {f"{proxy.host}/ns/tiny:1"}


def test_two_models_share_the_blob_that_both_have(place: Place, tmp_path: Path) -> None:
    with gated(place.host, 3_000_000) as proxy, serve(tmp_path / "models") as door:
        names = [f"{proxy.host}/ns/tiny:1", f"{proxy.host}/ns/other:latest"]
        with ThreadPoolExecutor(2) as pool:
            pulls = [pool.submit(lines, door, "/api/pull", model=name, insecure=True) for name in names]
            until(lambda: proxy.passed >= 3_000_000)
            proxy.open()
            assert [pull.result()[-1] for pull in pulls] == [{"status": "success"}] * 2
        assert proxy.passed < 7_500_000
        assert set(digests(door)) == set(names)


def test_when_all_have_left_it_ends_and_the_next_goes_on_where_it_was(place: Place, tmp_path: Path) -> None:
    with gated(place.host, 3_000_000) as proxy, serve(tmp_path / "models") as door:
        body = {"model": f"{proxy.host}/ns/tiny:1", "insecure": True}
        with httpx.stream("POST", f"{door.url}/api/pull", json=body, timeout=60) as leaving:
            _first_progress(leaving.iter_lines())
            until(lambda: proxy.passed >= 3_000_000)
        until(lambda: proxy.active == 0)
        kept = sum(path.stat().st_blocks * 512 for path in (tmp_path / "models/partial").iterdir())
        assert 1_000_000 < kept < 4_000_000
        assert body["model"] not in digests(door)
        proxy.open()
        said = lines(door, "/api/pull", **body)
        assert said[-1] == {"status": "success"}
        done = [line.get("completed", 0) for line in said if line.get("total", 0) > 6_000_000]
        assert done == sorted(done)
        assert proxy.passed < 8_500_000  # of 6.6 and the small ones; what was in the air is fetched again
        assert not list((tmp_path / "models/partial").glob("sha256-*"))


def test_the_server_ends_in_the_middle_of_a_pull(place: Place, tmp_path: Path) -> None:
    with gated(place.host, 3_000_000) as proxy, serving(tmp_path / "models") as (door, child):
        body = {"model": f"{proxy.host}/ns/tiny:1", "insecure": True}
        with httpx.stream("POST", f"{door.url}/api/pull", json=body, timeout=60) as answer:
            following = answer.iter_lines()
            _first_progress(following)
            child.terminate()
            *_, last = following
        assert json.loads(last) == {"error": "server is shutting down"}
        assert child.wait(10) == 0


def _first_progress(lines: Iterator[str]) -> None:
    for line in lines:
        if json.loads(line).get("completed"):
            return
    raise AssertionError("no progress")


# ---- Jupyter --------------------------------------------------------------------------------------------------------


def test_behind_jupyter_private_registries_are_only_those_of_the_setting(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = place.host.rpartition(":")[2]
    monkeypatch.setenv("OLLAMA_JUPYTER_REGISTRIES", f"localhost:{port}")
    (tmp_path / "notebooks").mkdir()
    with jupyter(tmp_path / "notebooks", tmp_path / "models") as (outer, inner, _):
        for door in (outer, inner):
            refused = lines(door, "/api/pull", model=place.name, insecure=True)
            assert refused[0] == {"status": "pulling manifest"}
            assert "OLLAMA_JUPYTER_REGISTRIES" in refused[-1]["error"]
            name = f"localhost:{port}/ns/tiny:1"
            assert lines(door, "/api/pull", model=name, insecure=True)[-1] == {"status": "success"}
