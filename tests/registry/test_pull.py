"""Pulls from a registry that does as it should: lines, ranges, pruning, redirects, resuming, cancelling."""

from __future__ import annotations

import json
import socket
import threading
import time

import psutil
import pytest
from registry.misbehaving import CONFIG, Registry, digest_of, manifest_of
from registry.pulling import LICENSE, PIECE, WEIGHTS, assert_whole, fetch

from ollama_jupyter.errors import Canceled, RegistryError
from ollama_jupyter.messages import Progress
from ollama_jupyter.store.models import Store


def test_lines_are_ollamas(store: Store, registry: Registry) -> None:
    lines = fetch(store, registry)
    assert_whole(store, registry)
    statuses = list(dict.fromkeys(line.status for line in lines))
    digests = [digest_of(data) for data in (WEIGHTS, LICENSE, CONFIG)]
    pulling = [f"pulling {digest[7:19]}" for digest in digests]
    closing = ["verifying sha256 digest", "writing manifest", "success"]
    assert statuses == ["pulling manifest", *pulling, *closing]
    for digest, data in zip(digests, (WEIGHTS, LICENSE, CONFIG), strict=True):
        done = [line.completed for line in lines if line.digest == digest]
        assert done == sorted(set(done))
        assert done[-1] == len(data)


def test_stored_blobs_are_one_line_each_and_not_asked_for(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    registry.requests.clear()
    lines = fetch(store, registry)
    assert [(line.completed, line.total) for line in lines if line.digest] == [
        (len(data), len(data)) for data in (WEIGHTS, LICENSE, CONFIG)
    ]
    assert [request.path for request in registry.requests] == ["/v2/some/model/manifests/latest"]


def test_a_blob_comes_in_parallel_ranges(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    ranges = {request.headers["Range"] for request in registry.requests if "Range" in request.headers}
    assert len(ranges) == len(WEIGHTS) // PIECE


def test_one_stream_asks_for_the_whole(store: Store, registry: Registry) -> None:
    fetch(store, registry, streams=1)
    assert_whole(store, registry)
    assert not [request for request in registry.requests if "Range" in request.headers]


def test_what_only_the_replaced_model_used_goes(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    registry.manifest = json.dumps(manifest_of(WEIGHTS)).encode()
    assert Progress("removing unused layers") in fetch(store, registry)
    assert digest_of(LICENSE) not in map(str, store.blobs.list())
    assert_whole(store, registry)


def test_without_pruning_it_stays(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    registry.manifest = json.dumps(manifest_of(WEIGHTS)).encode()
    assert Progress("removing unused layers") not in fetch(store, registry, prune=False)
    assert digest_of(LICENSE) in map(str, store.blobs.list())


def test_a_blob_of_another_size_is_not_taken_for_it(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    weights = next(digest for digest in store.blobs.list() if store.blobs.size(digest) == len(WEIGHTS))
    store.blobs.path(weights).write_bytes(b"half")
    fetch(store, registry)
    assert_whole(store, registry)


def test_blobs_that_vanish_before_the_manifest_is_written_are_fetched_again(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    store.manifests.delete(registry.name)
    vanishing = store.blobs.list()

    def delete(progress: Progress) -> None:
        if progress.status == "writing manifest" and vanishing:
            store.blobs.delete(vanishing.pop())

    fetch(store, registry, report=delete)
    assert vanishing == []
    assert_whole(store, registry)


def test_a_corrupt_manifest_is_replaced(store: Store, registry: Registry) -> None:
    path = registry.name.manifest_path(store.models)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    fetch(store, registry)
    assert_whole(store, registry)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_redirects_to_another_host_carry_no_credentials(
    store: Store, registry: Registry, status: int, host: str
) -> None:
    registry.guarded = True
    registry.redirecting(status, host)
    fetch(store, registry)
    assert_whole(store, registry)
    assert registry.cdn.requests
    assert all("Authorization" not in request.headers for request in registry.cdn.requests)


def test_the_address_that_was_redirected_to_is_asked_directly(store: Store, registry: Registry) -> None:
    registry.redirecting()
    fetch(store, registry)
    at_home = [request for request in registry.requests if digest_of(WEIGHTS) in request.path]
    assert len(registry.cdn.requests) >= len(WEIGHTS) // PIECE
    assert len(at_home) <= 4  # streams that began at once


def test_redirects_within_the_registry_keep_the_credentials(store: Store, registry: Registry) -> None:
    registry.guarded = True
    registry.on_blob = lambda request: (
        request.blob() if request.path.endswith("?3") else request.redirect(307, f"{request.path}?3")
    )
    fetch(store, registry)
    assert_whole(store, registry)


def test_no_credentials_once_a_redirect_has_left_the_registry(store: Store, registry: Registry) -> None:
    registry.guarded = True
    registry.redirecting()
    registry.cdn.on_blob = lambda request: request.redirect(302, f"http://{registry.address}/back/{request.digest}")
    with pytest.raises(RegistryError, match="unexpected status code 401"):
        fetch(store, registry)
    back = [request for request in registry.requests if request.path.startswith("/back/")]
    assert back
    assert all("Authorization" not in request.headers for request in back)


def test_a_cancelled_pull_ends_soon_and_goes_on_where_it_was(store: Store, registry: Registry) -> None:
    registry.rate = 1 << 20
    cancel = threading.Event()

    def stop_midway(progress: Progress) -> None:
        if progress.completed > len(WEIGHTS) // 4:
            cancel.set()

    with pytest.raises(Canceled):
        fetch(store, registry, cancel=cancel, report=stop_midway)
    assert store.blobs.list() == []
    registry.rate, registry.again = 0, 0
    lines = fetch(store, registry)
    first = next(line for line in lines if line.total == len(WEIGHTS))
    assert first.completed > len(WEIGHTS) // 4
    assert registry.again < len(WEIGHTS) // 2
    assert_whole(store, registry)


def test_cancelled_pulls_leave_nothing_behind(store: Store, registry: Registry) -> None:
    """No thread, no file, no connection; in whatever moment they were."""
    registry.rate = 1 << 20

    def left() -> tuple[int, int]:
        return threading.active_count(), psutil.Process().num_fds()

    before = left()
    for milliseconds in range(20):
        cancel = threading.Event()
        timer = threading.Timer(milliseconds / 200, cancel.set)
        timer.start()
        with pytest.raises(Canceled):
            fetch(store, registry, cancel=cancel)
        timer.join()
    deadline = time.monotonic() + 20
    while any(now > then for now, then in zip(left(), before, strict=True)):
        assert time.monotonic() < deadline, left()
        time.sleep(0.01)


def test_whoever_reports_may_give_up(store: Store, registry: Registry) -> None:
    def give_up(progress: Progress) -> None:
        if progress.total:
            raise Canceled

    registry.rate = 1 << 20
    with pytest.raises(Canceled):
        fetch(store, registry, report=give_up)
    registry.rate = 0
    fetch(store, registry)
    assert_whole(store, registry)


def test_a_cancelled_pull_does_not_wait_for_names(
    store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, release = threading.Event(), threading.Event()

    def look_up(*args: object, **more: object) -> list[object]:
        cancel.set()
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        with pytest.raises(Canceled):
            fetch(store, registry, cancel=cancel)
    finally:
        release.set()


def test_a_cancelled_pull_does_not_wait_for_a_registry_that_says_nothing(store: Store, registry: Registry) -> None:
    cancel, release = threading.Event(), threading.Event()

    def say_nothing(request: object) -> None:
        cancel.set()
        release.wait(20)

    registry.on_manifest = say_nothing
    try:
        with pytest.raises(Canceled):
            fetch(store, registry, cancel=cancel)
    finally:
        release.set()


def test_blobs_of_a_shared_folder_are_not_fetched(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    registry.requests.clear()
    other = Store(store.models.parent / "own", (store.models,))
    fetch(other, registry)
    assert [request.path for request in registry.requests] == ["/v2/some/model/manifests/latest"]
    assert other.blobs.own() == []
    assert other.manifests.is_own(registry.name)


def test_an_empty_layer(store: Store, registry: Registry) -> None:
    registry.blobs[digest_of(b"")] = b""
    registry.manifest = json.dumps(manifest_of(WEIGHTS, b"")).encode()
    fetch(store, registry)
    assert_whole(store, registry)
