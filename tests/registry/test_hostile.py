"""What somebody thought of to hurt us: registries, name services, and strangers' files in the store."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import zlib
from pathlib import Path

import pytest
from registry.misbehaving import Registry, Request, manifest_of
from registry.pulling import WEIGHTS, assert_nothing_visible, assert_whole, fetch
from registry.test_address import Names, to_loopback

from ollama_jupyter.errors import DigestMismatch, Forbidden, RegistryError, Trouble
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.registry import Access, RegistryClient
from ollama_jupyter.registry.url import URL
from ollama_jupyter.store.journal import Claims
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.partial import Partial, journal_path

# ---- name services


@pytest.mark.parametrize("answers", [[["8.8.8.8", "10.0.0.1"]], [["10.0.0.1"], ["8.8.8.8"]]])
def test_a_registry_that_seems_to_be_inside_does_not_lead_us_there(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, answers: list[list[str]]
) -> None:
    """Its name has a private address too, or had one before: whoever answers may be outside all the same."""
    names = Names(monkeypatch)
    names.table |= {"sly.test": answers, "inner.test": [["10.0.0.2"]]}
    monkeypatch.setattr("socket.socket.connect", to_loopback(names))
    registry.on_manifest = lambda request: request.redirect(307, f"http://inner.test:{registry.cdn.server_port}/x")
    name = ModelName.parse(f"sly.test:{registry.server_port}/some/model")
    with RegistryClient(name, Access(insecure=True, trusted=True)) as client:
        for _ in list(answers):
            with pytest.raises((Trouble, Forbidden)) as caught:
                client.request("GET", "manifests/latest").close()
    assert "inner.test:" in str(caught.value)
    assert "has a private address" in str(caught.value)
    assert "10.0.0.2" not in names.dialled


def test_a_registry_that_was_outside_is_not_inside_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch)
    names.table["sly.test"] = [["8.8.8.8"], ["10.0.0.1"]]
    with RegistryClient(ModelName.parse("sly.test/some/model"), Access(insecure=True, trusted=True)) as client:
        with pytest.raises(Trouble, match=r"^sly\.test: connection refused$"):
            client.request("GET", "manifests/latest").close()
        with pytest.raises(Forbidden, match=r"^sly\.test has a private address"):
            client.request("GET", "manifests/latest").close()
    assert names.dialled == ["8.8.8.8"]


# ---- answers


@pytest.mark.parametrize("size", [1 << 63, 10**400, 10**4000], ids=["63 bits", "400 digits", "4000 digits"])
def test_a_size_that_no_disk_has(store: Store, registry: Registry, size: int) -> None:
    manifest = json.dumps(manifest_of(WEIGHTS)).replace(f'"size": {len(WEIGHTS)}', f'"size": {size}')
    registry.manifest = manifest.encode()
    with pytest.raises(RegistryError, match=r"^pull model manifest: a layer has a size that no file can have$"):
        fetch(store, registry)
    assert_nothing_visible(store, registry)


def test_a_length_of_many_digits(store: Store, registry: Registry) -> None:
    def boast(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % (b"9" * 5000) + request.data)
        request.close_connection = True

    registry.on_blob = boast
    fetch(store, registry)
    assert_whole(store, registry)


@pytest.mark.parametrize("status", [102, 103])
def test_what_comes_after_a_hint_is_not_the_next_answer(registry: Registry, status: int) -> None:
    """Hints of what is to come are none of ours; the answer itself follows on the same connection."""
    hinted = threading.Event()

    def hint_first(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 %d Well\r\nLink: </x>\r\n\r\n" % status)
        hinted.wait(10)
        request.answer(200, registry.manifest)

    registry.on_manifest = hint_first
    with RegistryClient(registry.name, Access(insecure=True, trusted=True)) as client:
        for _ in range(2):
            with client.request("GET", "manifests/latest") as response:
                assert response.status == status
            hinted.set()


def test_an_error_is_no_longer_than_it_need_be() -> None:
    for text in ("https://" + "a" * 300, "https://[" + "1" * 5000 + "]"):
        with pytest.raises(ValueError):
            URL.parse(text)


# ---- the store


@pytest.mark.parametrize(
    "text",
    ["size x", "size", "done", "done 1", "done a-b", "done -5-3", "done 0-99999999999999999999",
     pytest.param("done 5-" + "9" * 5000, id="many digits"), "nonsense", "\xff", "size -1", ""],
)  # fmt: skip
def test_a_journal_that_makes_no_sense_claims_nothing(tmp_path: Path, text: str) -> None:
    """Its checksums are right: another version may have written it, or somebody who knows how."""
    digest = Digest.of(b"x" * 10)
    path = journal_path(digest.partial_path(tmp_path))
    path.parent.mkdir()
    digest.partial_path(tmp_path).write_bytes(b"y" * 10)
    lines = [line.encode("latin-1") for line in ("size 10", text, "done 0-5")]
    path.write_bytes(b"".join(b"%s %08x\n" % (line, zlib.crc32(line)) for line in lines))
    with Partial(tmp_path, digest, 10, lambda: None) as partial:
        assert partial.safe == 0
        assert not partial.verified
    assert Claims.read(path).size == 10


def test_a_link_in_the_place_of_a_partial_blob_is_not_followed(store: Store, registry: Registry) -> None:
    precious = store.models.parent / "sentinel"
    for data in registry.blobs:
        path = Digest.parse(data).partial_path(store.models)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(precious)
    fetch(store, registry)
    assert_whole(store, registry)
    assert precious.read_text() == "still here"
    assert not any(store.blobs.path(Digest.parse(data)).is_symlink() for data in registry.blobs)


def test_a_file_system_without_locks(store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*args: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    fetch(store, registry)
    assert_whole(store, registry)


def test_another_size_of_a_stored_blob_does_it_no_harm(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    good, weights = registry.manifest, Digest.of(WEIGHTS)
    registry.manifest = good.replace(b'"size": %d' % len(WEIGHTS), b'"size": 12')
    with pytest.raises(RegistryError, match=r"has 1048576 bytes for a blob of 12|sends 1048576 bytes for a blob of 12"):
        fetch(store, registry)
    manifest = store.manifests.get(registry.name)
    assert manifest is not None
    assert manifest.raw == good
    assert store.blobs.read(weights) == WEIGHTS


def test_a_digest_that_is_config_and_layer(store: Store, registry: Registry) -> None:
    manifest = manifest_of(WEIGHTS)
    manifest["config"] = manifest["layers"][0]  # type: ignore[index]
    registry.manifest = json.dumps(manifest).encode()
    lines = fetch(store, registry)
    assert_whole(store, registry)
    assert len({line.digest for line in lines if line.digest}) == 1


def test_layers_that_are_empty_and_say_otherwise(store: Store, registry: Registry) -> None:
    """Thousands of digests of nothing: the first of them ends it."""
    layer = {"mediaType": "application/vnd.ollama.image.license", "size": 0}
    layers = [{**layer, "digest": f"sha256:{number:064x}"} for number in range(5000)]
    registry.manifest = json.dumps(manifest_of(WEIGHTS) | {"layers": layers}).encode()
    registry.on_blob = lambda request: request.answer(200)
    with pytest.raises(DigestMismatch):
        fetch(store, registry)
    assert len(registry.requests) == 1
    assert_nothing_visible(store, registry)
