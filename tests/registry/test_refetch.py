"""Repairing a store from the registry that its models came from: by digest, so that no name changes its meaning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from registry.misbehaving import Registry, Request, digest_of, manifest_of
from registry.pulling import LICENSE, PIECE, WEIGHTS, assert_whole, fetch

from ollama_jupyter.config import Settings
from ollama_jupyter.library.tools import verify_store
from ollama_jupyter.messages import Progress, VerifyRequest
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.reports import VerifyReport
from ollama_jupyter.store.models import Store


@pytest.fixture(autouse=True)
def a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the key that requests are signed with."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def spoil(store: Store, data: bytes) -> Path:
    path = store.blobs.path(Digest.of(data))
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    return path


def repair(store: Store, lines: list[Progress] | None = None) -> VerifyReport:
    request = VerifyRequest(repair=True, insecure=True)
    return verify_store(Settings(models=store.models), request, ([] if lines is None else lines).append)


def test_only_the_blob_is_fetched(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    manifest, path = registry.manifest, spoil(store, WEIGHTS)
    registry.manifest = json.dumps(manifest_of(b"by now another model")).encode()
    registry.requests.clear()
    lines: list[Progress] = []
    report = repair(store, lines)
    assert [(problem.kind, problem.repaired) for problem in report.problems] == [("corrupt", True)]
    assert report.ok
    registry.manifest = manifest
    assert_whole(store, registry)
    assert {request.path for request in registry.requests} == {f"/v2/some/model/blobs/{digest_of(WEIGHTS)}"}
    statuses = list(dict.fromkeys(line.status for line in lines))
    short = path.name[7:19]
    assert statuses == ["verifying", f"repairing {short}", f"pulling {short}"]
    assert [line.completed for line in lines if line.digest][-1] == len(WEIGHTS)


def test_what_is_missing_is_fetched(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    for data in (WEIGHTS, LICENSE):
        store.blobs.delete(Digest.of(data))
    assert [problem.repaired for problem in repair(store).problems] == [True, True]
    assert_whole(store, registry)


def test_a_model_that_was_made_from_a_pulled_one_is_mended_with_it(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    manifest = store.manifests.get(registry.name)
    assert manifest is not None
    store.manifests.put(ModelName.parse("mine"), manifest)
    spoil(store, WEIGHTS)
    [problem] = repair(store).problems
    assert (problem.repaired, len(problem.models)) == (True, 2)


def test_a_registry_that_sends_other_bytes(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    path = spoil(store, WEIGHTS)
    registry.on_blob = lambda request: request.blob(data=b"x" * len(WEIGHTS))
    [problem] = repair(store).problems
    assert (problem.repaired, path.exists()) == (False, False)
    assert [aside.name for aside in (store.models / "partial").glob("*sha256*")] == [f"bad-{path.name}"]
    registry.on_blob = Request.blob
    assert repair(store).ok
    assert_whole(store, registry)


def test_a_repair_that_was_cut_short_goes_on(store: Store, registry: Registry) -> None:
    """What has come stays for the next time, and the bad file is back meanwhile."""
    fetch(store, registry)
    path = spoil(store, WEIGHTS)

    def give_up(progress: Progress) -> None:
        if progress.completed >= 4 * PIECE and progress.digest:
            raise KeyboardInterrupt

    request = VerifyRequest(repair=True, insecure=True)
    with pytest.raises(KeyboardInterrupt):
        verify_store(Settings(models=store.models), request, give_up)
    assert path.exists()
    assert repair(store).ok
    assert_whole(store, registry)


def test_what_a_pull_writes_is_well(store: Store, registry: Registry) -> None:
    fetch(store, registry)
    lines: list[Progress] = []
    report = verify_store(Settings(models=store.models), VerifyRequest(), lines.append)
    assert (report.ok, report.models, report.blobs, report.problems) == (True, 1, 3, ())
