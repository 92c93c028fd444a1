"""Pushing: against a registry that misbehaves, and against a real one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gated_proxy import gated
from registries import blobs_of, docker_registry
from upload_server import UploadServer, upload_server

from ollama_jupyter import registry
from ollama_jupyter.errors import Canceled, Forbidden, ModelLoadError, ModelNotFound, RegistryError
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.registry import Access, patience, upload
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store

CHUNK = 100_000
WEIGHTS = bytes(range(256)) * 1000  # two chunks and a half


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", CHUNK)
    monkeypatch.setattr(upload, "PIECE", 10_000)
    monkeypatch.setattr(patience, "LONGEST_S", 0.001)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def server() -> Iterator[UploadServer]:
    with upload_server() as server:
        yield server


def model(store: Store, name: str, weights: bytes = WEIGHTS, from_: str = "") -> Manifest:
    def layer(role: str, data: bytes) -> Layer:
        return Layer(LAYER_TYPE + role, store.blobs.put_bytes(data), len(data), from_)

    config = replace(layer("", b"{}"), media_type=CONFIG_TYPE, from_="")
    manifest = Manifest.build(config, (layer("model", weights), layer("system", b"be brief")))
    store.manifests.put(ModelName.parse(name), manifest)
    return manifest


def push(store: Store, name: str, cancel: threading.Event | None = None, **access: object) -> list[Progress]:
    lines: list[Progress] = []
    terms = Access(**{"insecure": True, "trusted": True, "key": store.models / "key", **access})  # type: ignore[arg-type]
    parsed = ModelName.parse(name)
    registry.push(store, parsed, access=terms, report=lines.append, cancel=cancel or threading.Event())
    return lines


def digests(manifest: Manifest) -> set[str]:
    return {str(digest) for digest in manifest.digests}


# ---- what is sent -------------------------------------------------------------------------------------------------


def test_blobs_then_the_manifest_as_it_is_stored(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m:t"
    manifest = model(store, name)
    lines = push(store, name)
    assert set(server.blobs) == digests(manifest)
    assert server.blobs[str(manifest.layers[0].digest)] == WEIGHTS
    assert server.manifests == {"/v2/ns/m/manifests/t": manifest.raw}
    assert [request.path for request in server.requests][-1] == "/v2/ns/m/manifests/t"
    ranges = [request.headers["content-range"] for request in server.asked("PATCH")]
    assert ranges[:3] == ["0-99999", "100000-199999", "200000-255999"]
    put = server.asked("PUT", "/uploads/")[0]
    assert put.query == {"state": "256000", "digest": str(manifest.layers[0].digest)}

    statuses = list(dict.fromkeys(line.status for line in lines))
    shorts = [f"pushing {layer.digest.short}" for layer in (*manifest.layers, manifest.config)]
    assert statuses == ["retrieving manifest", *shorts, "pushing manifest", "success"]
    for layer in (*manifest.layers, manifest.config):
        done = [line.completed for line in lines if line.digest == str(layer.digest)]
        assert done == sorted(set(done))
        assert done[-1] == layer.size
        assert {line.total for line in lines if line.digest == str(layer.digest)} == {layer.size}


def test_what_is_there_is_not_sent_again(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    push(store, name)
    server.requests.clear()
    lines = push(store, name)
    assert [request.method for request in server.requests] == ["HEAD", "HEAD", "HEAD", "PUT"]
    weights = Progress(f"pushing {manifest.layers[0].digest.short}", str(manifest.layers[0].digest), 256000, 256000)
    assert lines[1] == weights


def test_what_another_repository_of_the_registry_has_is_mounted(store: Store, server: UploadServer) -> None:
    manifest = model(store, f"{server.host}/ns/child", from_=f"{server.host}/ns/parent:1")
    server.blobs[str(manifest.layers[0].digest)] = WEIGHTS
    server.answers["HEAD"] = [404]  # not in this repository
    push(store, f"{server.host}/ns/child")
    query = {"mount": str(manifest.layers[0].digest), "from": "ns/parent"}
    assert server.asked("POST")[0].query == query
    assert server.asked("PATCH")[0].headers["content-length"] == "8"
    assert set(server.blobs) == digests(manifest)


@pytest.mark.parametrize("from_", ["m.gguf", "elsewhere.example/ns/parent:1", "SELF", "../x", ""])
def test_nothing_else_is_asked_for_to_be_mounted(store: Store, server: UploadServer, from_: str) -> None:
    name = f"{server.host}/ns/m"
    model(store, name, from_=f"{server.host}/ns/m:other" if from_ == "SELF" else from_)
    push(store, name)
    assert [request.query for request in server.asked("POST")] == [{}, {}, {}]


# ---- trouble ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 55_555, 99_999])
def test_a_cut_connection_costs_no_more_than_what_was_on_its_way(store: Store, server: UploadServer, cut: int) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    server.cuts = [cut, cut]
    lines = push(store, name)
    assert server.blobs[str(manifest.layers[0].digest)] == WEIGHTS
    assert sum(request.size for request in server.asked("PATCH")) <= len(WEIGHTS) + 10 + (2 if cut < 2 else 0)
    done = [line.completed for line in lines if line.digest == str(manifest.layers[0].digest)]
    assert done == sorted(set(done))


def test_a_registry_that_forgets_gets_the_blob_anew(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    server.cuts, server.remembers = [5000], False
    push(store, name)
    assert server.blobs[str(manifest.layers[0].digest)] == WEIGHTS
    assert len(server.asked("POST")) == 4


def test_retries_end_only_without_progress(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    server.cuts = [10_000] * 20
    push(store, name)
    assert server.blobs[str(manifest.layers[0].digest)] == WEIGHTS
    other = f"{server.host}/ns/other"
    model(store, other, b"other")
    server.cuts = [0] * 100
    with pytest.raises(RegistryError, match=r"^max retries exceeded: 127\.0\.0\.1"):
        push(store, other)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_statuses_are_waited_out(store: Store, server: UploadServer, method: str, status: int) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    server.answers[method] = [status] * 3
    push(store, name)
    assert set(server.blobs) == digests(manifest)


def test_an_end_that_went_well_unheard_is_not_done_again(store: Store, server: UploadServer) -> None:
    """The answer to the last PUT is lost; the blob is there when it is asked for again."""
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    server.answers["PUT"] = [502]
    server.answers["HEAD"] = [404, 200]
    push(store, name)
    assert len(server.asked("PATCH", "uploads/0")) == 3
    assert server.manifests == {"/v2/ns/m/manifests/latest": manifest.raw}


@pytest.mark.parametrize(
    ("method", "status", "message"),
    [
        ("HEAD", 400, "asking for a blob: 400"),
        ("POST", 405, "beginning an upload: 405"),
        ("PATCH", 413, "uploading: 413"),
        ("PUT", 400, "finishing an upload: 400"),
        ("POST", 403, "unauthorized: access denied"),
        ("POST", 401, "unauthorized: access denied"),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(
    store: Store, server: UploadServer, method: str, status: int, message: str
) -> None:
    name = f"{server.host}/ns/m"
    model(store, name)
    server.answers[method] = [status] * 2
    with pytest.raises(RegistryError) as caught:
        push(store, name)
    assert caught.value.message == message
    assert not server.manifests


def test_cancelling_ends_it(store: Store, server: UploadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST_S", 100)
    name = f"{server.host}/ns/m"
    model(store, name)
    server.answers["POST"] = [500] * 100
    cancel = threading.Event()
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    with pytest.raises(Canceled):
        push(store, name, cancel)
    timer.join()


# ---- redirected chunks, credentials --------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [True, False])
def test_chunks_go_to_a_storage_host_without_credentials(store: Store, server: UploadServer, reads: bool) -> None:
    with upload_server() as storage:
        server.storage, server.reads_before_redirect = storage.host, reads
        server.realm = f"http://{server.host}/token"
        name = f"{server.host}/ns/m"
        manifest = model(store, name)
        storage.answers["PUT"] = [503, 403]
        push(store, name)
    assert b"".join(storage.stored[key] for key in ("0-99999", "100000-199999", "200000-255999")) == WEIGHTS
    assert server.asked("PATCH")[0].headers["x-redirect-uploads"] == "1"
    assert server.asked("PATCH")[0].headers["authorization"] == "Bearer t0ken"
    for request in storage.requests:
        assert "authorization" not in request.headers
        assert "x-redirect-uploads" not in request.headers
    put = server.asked("PUT", "/uploads/")[0]
    md5s = b"".join(hashlib.md5(WEIGHTS[i : i + CHUNK]).digest() for i in range(0, len(WEIGHTS), CHUNK))
    assert put.query["etag"] == f"{hashlib.md5(md5s).hexdigest()}-3"
    assert put.query["digest"] == str(manifest.layers[0].digest)


class Forgetful(dict[str, bytearray]):
    """Forgets everything when it is asked for the second time."""

    asked = 0

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        self.asked += 1
        if self.asked == 2:
            self.clear()
        return super().get(key, default)


def test_a_registry_that_forgets_what_it_sent_elsewhere_gets_the_blob_anew(store: Store, server: UploadServer) -> None:
    server.uploads = Forgetful()
    with upload_server() as storage:
        server.storage = storage.host
        name = f"{server.host}/ns/m"
        model(store, name)
        push(store, name)
    assert set(server.manifests) == {"/v2/ns/m/manifests/latest"}
    assert len(server.asked("POST")) == 4  # three blobs, the first of them twice


def test_no_token_is_asked_for_elsewhere(store: Store, server: UploadServer) -> None:
    with upload_server() as other:
        server.realm = f"http://{other.host}/token"
        name = f"{server.host}/ns/m"
        model(store, name)
        with pytest.raises(RegistryError, match="does not match original host"):
            push(store, name)
    assert not other.requests


def test_an_upload_that_goes_on_elsewhere_takes_no_credentials_along(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    with upload_server() as other:
        server.realm = f"http://{server.host}/token"
        server.sends_to = f"http://{other.host}/uploads"
        other.uploads["/uploads"] = bytearray()
        other.answers["PUT"] = [400]
        with pytest.raises(RegistryError, match="finishing an upload: 400"):
            push(store, name)
    assert str(Digest.of(bytes(other.uploads["/uploads"]))) == str(manifest.layers[0].digest)
    assert not [request for request in other.requests if "authorization" in request.headers]


@pytest.mark.parametrize(
    ("location", "error", "message"),
    [
        ("http://169.254.169.254/latest/meta-data", Forbidden, "never contacted"),
        ("file:///etc/passwd", RegistryError, "no URL"),
        ("http://user:secret@127.0.0.1/", RegistryError, "no URL"),
    ],
)
def test_an_upload_does_not_go_on_just_anywhere(
    store: Store, server: UploadServer, location: str, error: type[Exception], message: str
) -> None:
    server.sends_to = location
    name = f"{server.host}/ns/m"
    model(store, name)
    with pytest.raises(error, match=message):
        push(store, name)


def test_private_addresses_only_for_whom_may(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m"
    model(store, name)
    with pytest.raises(Forbidden, match="OLLAMA_JUPYTER_REGISTRIES"):
        push(store, name, trusted=False)
    assert not server.requests
    push(store, name, trusted=False, registries=(server.host,))
    assert server.manifests


# ---- what cannot be pushed ------------------------------------------------------------------------------------------


def test_what_is_not_there(store: Store) -> None:
    lines: list[Progress] = []
    absent = ModelName.parse("absent")
    with pytest.raises(ModelNotFound, match=r"^model 'absent:latest' not found$"):
        registry.push(store, absent, access=Access(), report=lines.append, cancel=threading.Event())
    assert [line.status for line in lines] == ["retrieving manifest", "couldn't retrieve manifest"]


def test_what_is_deleted_meanwhile(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)

    def report(progress: Progress) -> None:
        if progress.completed == len(WEIGHTS):
            store.blobs.path(manifest.layers[1].digest).unlink(missing_ok=True)

    with pytest.raises(ModelNotFound, match="lacks its blob"):
        registry.push(store, ModelName.parse(name), access=Access(True, True), report=report, cancel=threading.Event())
    assert server.manifests == {}


def test_what_is_damaged(store: Store, server: UploadServer) -> None:
    name = f"{server.host}/ns/m"
    manifest = model(store, name)
    store.blobs.delete(manifest.layers[1].digest)
    with pytest.raises(ModelNotFound, match="lacks its blob sha256:") as caught:
        push(store, name)
    assert str(store.models) not in caught.value.message
    ModelName.parse(name).manifest_path(store.models).write_text("{")
    with pytest.raises(ModelLoadError, match="corrupt"):
        push(store, name)
    assert not server.requests


# ---- a real registry -----------------------------------------------------------------------------------------------


@pytest.mark.needs("docker-registry")
def test_docker_registry(store: Store, tmp_path: Path) -> None:
    with docker_registry(tmp_path / "registry") as host:
        manifest = model(store, f"{host}/ns/m")
        push(store, f"{host}/ns/m")
        assert blobs_of(tmp_path / "registry") == digests(manifest) | {f"sha256:{manifest.digest}"}
        child = model(store, f"{host}/ns/child", from_=f"{host}/ns/m:latest")
        push(store, f"{host}/ns/child")
        assert f"sha256:{child.digest}" in blobs_of(tmp_path / "registry")
        links = tmp_path / "registry/docker/registry/v2/repositories/ns/child/_layers/sha256"
        assert {f"sha256:{path.name}" for path in links.iterdir()} == digests(child)


@pytest.mark.needs("docker-registry")
def test_docker_registry_behind_a_bad_line(store: Store, tmp_path: Path) -> None:
    with docker_registry(tmp_path / "registry") as host, gated(host, 10**9) as proxy:
        manifest = model(store, f"{proxy.host}/ns/m")
        proxy.cuts = [150, 50_000, 50_000]
        push(store, f"{proxy.host}/ns/m")
        assert not proxy.cuts
        assert blobs_of(tmp_path / "registry") == digests(manifest) | {f"sha256:{manifest.digest}"}


@pytest.mark.needs("docker-registry")
def test_docker_registry_that_knows_us_not(store: Store, tmp_path: Path) -> None:
    wants_password = f"auth: {{htpasswd: {{realm: r, path: {tmp_path / 'passwords'}}}}}\n"
    with docker_registry(tmp_path / "registry", wants_password) as host:
        model(store, f"{host}/ns/m")
        with pytest.raises(RegistryError) as caught:
            push(store, f"{host}/ns/m")
    assert caught.value.message == "unauthorized: access denied"
