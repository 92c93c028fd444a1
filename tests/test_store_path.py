"""The store as a search path: one folder that is written, others that are only read; and what a start tidies."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from models import write_tiny_gguf

from ollama_jupyter.config import Settings
from ollama_jupyter.errors import Forbidden, ModelLoadError, ModelNotFound
from ollama_jupyter.library import Library, embedded
from ollama_jupyter.messages import CreateRequest, VerifyRequest
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.reports import VerifyReport
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.recovery import OLD_PARTIAL, YOUNG_BLOB, recover

OLD = time.time() - 2 * YOUNG_BLOB
ANCIENT = time.time() - 2 * OLD_PARTIAL


@pytest.fixture(autouse=True)
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "package_folders", tuple)


def fill(models: Path, name: str, text: str, source: Path) -> Manifest:
    """Store a model of the weights `source` whose system prompt is `text`."""
    store = Store(models)
    weights = Layer(LAYER_TYPE + "model", store.blobs.put_file(source), source.stat().st_size)
    data = {CONFIG_TYPE: b'{"model_format":"gguf"}', LAYER_TYPE + "system": text.encode()}
    config, system = (Layer(kind, store.blobs.put_bytes(content), len(content)) for kind, content in data.items())
    manifest = Manifest.build(config, (weights, system))
    store.manifests.put(ModelName.parse(name), manifest)
    return manifest


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder with its size, time of change and inode."""
    found = sorted([folder, *folder.rglob("*")])
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns, p.stat().st_ino) for p in found}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def shared(tmp_path: Path, tiny: Path) -> Path:
    """A shared store with two models."""
    folder = tmp_path / "shared"
    fill(folder, "common", "shared words", tiny)
    fill(folder, "both", "shared both", tiny)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def library(own: Path, shared: Path) -> Library:
    return Library.open(Settings(models=own, shared=(shared,)))


async def names(library: Library) -> list[str]:
    return sorted(row.name for row in await library.tags())


# ---- the setting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "models", "shared"),
    [
        ("/a", "/a", ()),
        (f"/a{os.pathsep}/b", "/a", ("/b",)),
        (f"{os.pathsep}/a{os.pathsep}{os.pathsep} /b {os.pathsep}/c{os.pathsep}", "/a", ("/b", "/c")),
        (f'"/a{os.pathsep}/a{os.pathsep}/b{os.pathsep}/b"', "/a", ("/b",)),
        (os.pathsep, str(Path("~/.ollama/models").expanduser()), ()),
    ],
)
def test_the_setting_is_a_search_path(text: str, models: str, shared: tuple[str, ...]) -> None:
    settings = Settings.from_env({"OLLAMA_MODELS": text})
    assert settings.models_dir == Path(models)
    assert settings.shared_dirs == tuple(map(Path, shared))


def test_what_is_given_replaces_the_whole_path() -> None:
    settings = Settings.from_env({"OLLAMA_MODELS": f"/a{os.pathsep}/b"}, models=(Path("/c"),))
    assert (settings.models_dir, settings.shared_dirs) == (Path("/c"), ())


def test_folders_of_windows_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pathsep", ";")
    settings = Settings.from_env({"OLLAMA_MODELS": r"C:\Users\me\models;D:\shared"})
    assert [str(settings.models), *map(str, settings.shared)] == [r"C:\Users\me\models", r"D:\shared"]


# ---- reading and writing ------------------------------------------------------------------------------------------


async def test_both_are_listed_and_ones_own_shadows(library: Library, own: Path, tiny: Path) -> None:
    assert await names(library) == ["both:latest", "common:latest"]
    fill(own, "mine", "own words", tiny)
    fill(own, "Both", "own both", tiny)
    assert await names(library) == ["Both:latest", "common:latest", "mine:latest"]
    assert (await library.resolve("both")).system == "own both"
    assert (await library.resolve("COMMON")).system == "shared words"
    assert (await library.show("common")).system == "shared words"


async def test_nothing_is_written_to_a_shared_store(library: Library, own: Path, shared: Path) -> None:
    before = snapshot(shared)
    library.recovery.join()
    with pytest.raises(Forbidden) as caught:
        await library.delete("common")
    assert caught.value.message == "model 'common:latest' is in a shared read-only store"
    await library.copy("common", "mine")
    async for _ in library.create(CreateRequest(model="changed", from_="common", system="new words")):
        pass
    async for _ in library.create(CreateRequest(model="both", from_="common", system="shadow")):
        pass
    assert (await library.resolve("mine")).system == "shared words"
    assert (await library.resolve("changed")).system == "new words"
    assert (await library.resolve("both")).system == "shadow"
    assert snapshot(shared) == before
    # The weights were not copied, and the small layers that are there were not either.
    assert sum(path.stat().st_size for path in (own / "blobs").iterdir()) < 1000
    await library.delete("both")  # one's own: what it shadowed comes back
    assert (await library.resolve("both")).system == "shared both"
    await library.delete("mine")
    await library.delete("changed")
    assert await names(library) == ["both:latest", "common:latest"]
    assert list((own / "blobs").iterdir()) == []
    assert snapshot(shared) == before


async def test_a_model_of_a_shared_store_that_vanished_is_incomplete(library: Library, shared: Path) -> None:
    await library.copy("common", "mine")
    shared.rename(shared.with_name("unmounted"))
    assert await names(library) == ["mine:latest"]
    with pytest.raises(ModelLoadError, match="a blob is missing"):
        await library.resolve("mine")
    with pytest.raises(ModelNotFound):
        await library.resolve("common")
    shared.with_name("unmounted").rename(shared)
    assert (await library.resolve("mine")).system == "shared words"


async def test_a_share_whose_server_went_away_takes_nothing_down(
    library: Library, own: Path, shared: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look at it then fails, in another way than for a folder that is not there."""
    fill(own, "mine", "own words", tiny)
    looks = {name: getattr(Path, name) for name in ("open", "stat", "iterdir")}

    def failing(name: str) -> Callable[..., Any]:
        def look(path: Path, *args: Any, **kwargs: Any) -> Any:
            if path.is_relative_to(shared):
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return looks[name](path, *args, **kwargs)

        return look

    for name in looks:
        monkeypatch.setattr(Path, name, failing(name))
    await library.copy("mine", "again")
    assert await names(library) == ["again:latest", "mine:latest"]
    await library.delete("again")
    assert (await library.resolve("mine")).system == "own words"
    *_, report = [line async for line in library.tools.verify(VerifyRequest(), trusted=True)]
    assert isinstance(report, VerifyReport)
    assert report.models == 1


async def test_a_shared_folder_that_is_not_there_is_told_once(
    own: Path, shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    library = Library.open(Settings(models=own, shared=(tmp_path / "gone", shared, tmp_path / "file")))
    library.recovery.join()
    assert await names(library) == await names(library) == ["both:latest", "common:latest"]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"folder {number} of OLLAMA_MODELS is no model store, or cannot be read: left out" for number in (2, 4)
    ]


def test_reading_makes_no_folder(own: Path, shared: Path) -> None:
    library = Library.open(Settings(models=own, shared=(shared,)))
    library.recovery.join()
    assert library.store.resolve("common").system == "shared words"
    assert not own.exists()


async def test_an_uploaded_blob_that_is_shared_already_is_not_stored_again(
    library: Library, own: Path, tiny: Path
) -> None:
    digest = str(Digest.of(tiny.read_bytes()))
    assert await library.has_blob(digest)
    async for _ in library.create(CreateRequest(model="new", files={"tiny.gguf": digest})):
        pass
    assert not (own / "blobs" / digest.replace(":", "-")).exists()
    assert (await library.resolve("new")).weights.is_file()


async def test_a_corrupt_shared_manifest_takes_nothing_down(library: Library, own: Path, shared: Path) -> None:
    ModelName.parse("common").manifest_path(shared).write_text("{")
    assert await names(library) == ["both:latest"]
    with pytest.raises(ModelLoadError, match="corrupt"):
        await library.resolve("common")
    with pytest.raises(Forbidden):
        await library.delete("common")
    blob = unnamed(Store(own))
    recover(library.store)  # the shared store's corruption is not ours
    assert not blob.exists()


async def test_pruning_keeps_a_blob_that_only_ones_own_folder_still_has(own: Path, shared: Path, tiny: Path) -> None:
    manifest = fill(own, "mine", "shared words", tiny)
    store = Store(own, (shared,))
    system = manifest.layers[1].digest
    system.blob_path(shared).unlink()
    with store.lock:
        store.manifests.delete(ModelName.parse("mine"))
        store.prune(manifest.digests)
    assert store.blobs.own() == [system]
    assert store.resolve("common").system == "shared words"


SPELLINGS = ["a", "A", "b", "h.example/n/a", "H.example/N/a:X", "h.example/n/a:x"]


@hypothesis_settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(SPELLINGS)), st.lists(st.sampled_from(SPELLINGS)), st.sampled_from(SPELLINGS))
def test_the_spelling_of_a_name_is_found_without_a_walk(own: list[str], shared: list[str], asked: str) -> None:
    """As by looking at every name: one of one's own that matches, else a shared one, else part by part."""
    with tempfile.TemporaryDirectory() as folder:
        folders = Path(folder, "own"), Path(folder, "shared")
        for models, texts in zip(folders, (own, shared), strict=True):
            for text in texts:
                path = ModelName.parse(text).manifest_path(models)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        name, store = ModelName.parse(asked), Store(folders[0], folders[1:])
        for texts in (own, shared):
            same = sorted((n for n in map(ModelName.parse, texts) if n.same_as(name)), key=lambda n: n.parts)
            if same:
                assert store.manifests.canonical(name) == (name if name in same else same[0])
                return
        found = store.manifests.canonical(name)
        assert found.same_as(name)
        stored = store.manifests.names()
        assert all(
            part in {n.parts[i] for n in stored} or part not in {n.folded[i] for n in stored}
            for i, part in enumerate(found.parts)
        )


# ---- the start ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(own: Path, tiny: Path) -> Store:
    """One's own store with a model in it, all of it old."""
    fill(own, "kept", "words", tiny)
    store = Store(own)
    for digest in store.blobs.own():
        age(store.blobs.path(digest))
    return store


def age(path: Path, moment: float = OLD) -> Path:
    """Let a file look old. Its time of change cannot be set, so the tests look at an old file through `old_changes`."""
    os.utime(path, (moment, moment))
    return path


@pytest.fixture(autouse=True)
def old_changes(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A file's time of change follows its time of writing, except for files that were linked: those are new."""
    from ollama_jupyter.store import recovery

    monkeypatch.setattr(recovery, "_changed", lambda path: time.time() if is_linked(path) else path.stat().st_mtime)


def is_linked(path: Path) -> bool:
    return path.stat().st_nlink > 1


def unnamed(store: Store, text: bytes = b"unnamed", moment: float = OLD) -> Path:
    """A blob that no manifest names."""
    return age(store.blobs.path(store.blobs.put_bytes(text)), moment)


def test_old_blobs_that_nobody_names_go(store: Store) -> None:
    kept = set(store.blobs.own())
    young = unnamed(store, b"young", time.time() - 60)
    old = unnamed(store)
    assert str(recover(store)) == "1 unnamed"
    assert not old.exists()
    assert set(store.blobs.own()) == kept | {Digest.of(b"young")}
    assert young.exists()
    assert store.resolve("kept").system == "words"


def test_noprune(store: Store) -> None:
    old, empty = unnamed(store), store.models / "manifests" / "host" / "empty"
    empty.mkdir(parents=True)
    assert str(recover(store, prune=False)) == ""
    assert old.exists()
    assert empty.exists()


def test_a_corrupt_manifest_stops_pruning_and_is_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    bad = ModelName.parse("bad").manifest_path(store.models)
    bad.parent.mkdir()
    bad.write_text("{")
    old = unnamed(store)
    recover(store)
    assert old.exists()
    assert [record.getMessage() for record in caplog.records] == [
        "not pruning: the manifest of bad:latest cannot be read"
    ]


async def test_a_corrupt_manifest_can_be_deleted_and_takes_no_list_down(store: Store) -> None:
    library = Library(store, Settings(models=store.models))
    bad = ModelName.parse("bad").manifest_path(store.models)
    bad.parent.mkdir()
    for content in (b"", b"{", b"\xff\xfe", b"[]", b'{"layers": [1]}', b"null", b"[" * 100_000):
        bad.write_bytes(content)
        assert await names(library) == ["kept:latest"]
    await library.delete("bad")
    assert not bad.exists()
    assert store.resolve("kept").system == "words"


def test_a_hard_linked_old_file_is_a_new_blob(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "old file"
    source.write_bytes(b"old")
    age(source, ANCIENT)
    blob = store.blobs.path(store.blobs.put_file(source))
    assert blob.stat().st_mtime == source.stat().st_mtime
    recover(store)
    assert blob.exists()


def test_the_time_of_linking_counts(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real clock of the file system, without the stand-in of the other tests."""
    monkeypatch.undo()
    from ollama_jupyter.store import recovery

    source = tmp_path / "old file"
    source.write_bytes(b"old")
    age(source, ANCIENT)
    blob = store.blobs.path(store.blobs.put_file(source))
    assert abs(recovery._changed(blob) - time.time()) < 60
    unnamed(store)
    assert str(recover(store)) == ""  # just made, whatever their time of writing says


def test_a_blob_that_was_asked_for_counts_as_new(store: Store) -> None:
    blob = unnamed(store)
    before = blob.stat()
    time.sleep(0.02)  # the file system's clock ticks in steps of up to 10 ms
    store.blobs.keep(Digest.of(b"unnamed"))
    after = blob.stat()
    assert (after.st_mtime_ns, after.st_atime_ns) == (before.st_mtime_ns, before.st_atime_ns)
    assert after.st_ctime_ns > before.st_ctime_ns


def test_blobs_in_the_old_spelling_are_renamed(store: Store) -> None:
    for path in list((store.models / "blobs").iterdir()):
        path.rename(path.with_name(path.name.replace("-", ":")))
    assert str(recover(store)) == "3 renamed"
    assert store.resolve("kept").system == "words"
    double = store.blobs.put_bytes(b"double")
    store.blobs.path(double).with_name(str(double)).write_bytes(b"other")
    recover(store)
    assert store.blobs.read(double) == b"double"
    assert store.blobs.path(double).with_name(str(double)).read_bytes() == b"other"


def test_downloads_are_given_up_after_a_month(store: Store) -> None:
    partial, blobs = store.models / "partial", store.models / "blobs"
    partial.mkdir(exist_ok=True)

    def put(folder: Path, name: str, moment: float) -> Path:
        path = folder / name
        path.write_bytes(b"half")
        return age(path, moment)

    a, b, c, d = (letter * 64 for letter in "abcd")
    gone = [put(partial, f"sha256-{a}.part", ANCIENT), put(partial, f"sha256-{a}.journal", ANCIENT)]
    gone += [put(blobs, f"sha256-{c}-partial", ANCIENT), put(blobs, f"sha256-{c}-partial-0", ANCIENT)]
    kept = [put(partial, f"sha256-{b}.part", ANCIENT), put(partial, f"sha256-{b}.journal", OLD)]
    kept += [put(blobs, f"sha256-{d}-partial", OLD), put(blobs, "stranger", ANCIENT), put(partial, "lock", ANCIENT)]
    assert str(recover(store)) == "4 given up"
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_verdicts_on_blobs_that_are_gone_go(store: Store) -> None:
    probes = store.models / "probes"
    probes.mkdir()
    contents = {
        "kept.json": {"reason": "", "digest": store.blobs.own()[0].hex},
        "gone.json": {"reason": "", "digest": "a" * 64},
        "no digest.json": {"reason": ""},
        "young.json": {"reason": "", "digest": "a" * 64},
    }
    for name, content in contents.items():
        age(probes / name, OLD) if (probes / name).write_text(json.dumps(content)) else None
    os.utime(probes / "young.json")
    age(probes / "left.123.tmp") if (probes / "left.123.tmp").write_text("{") else None
    assert str(recover(store)) == "3 verdicts"
    assert sorted(path.name for path in probes.iterdir()) == ["kept.json", "young.json"]


def test_empty_folders_of_manifests_go(store: Store) -> None:
    empty = store.models / "manifests" / "host" / "namespace" / "model"
    empty.mkdir(parents=True)
    recover(store)
    assert not (store.models / "manifests" / "host").exists()
    assert store.manifests.names() == [ModelName.parse("kept")]


def test_strangers_in_the_store_are_left_alone(store: Store, tmp_path: Path) -> None:
    for place in ("notes.txt", "blobs/notes.txt", "manifests/notes.txt", "partial/notes.txt", "other/deep/notes.txt"):
        path = store.models / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        age(path, ANCIENT)
    recover(store)
    assert len(list(store.models.rglob("notes.txt"))) == 5


def test_a_folder_that_cannot_be_written_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/secret/path")

    monkeypatch.setattr("ollama_jupyter.store.recovery._respell", refuse)
    library = Library(store, Settings(models=store.models))
    library.recovery.run()
    assert [record.getMessage() for record in caplog.records] == ["cannot tidy the model store: Permission denied"]


def test_a_start_waits_for_whoever_is_publishing(store: Store) -> None:
    """Another process holds the lock: it writes a blob and its manifest, and a start in between takes neither."""
    old = unnamed(store)
    with store.lock:
        other = threading.Thread(target=lambda: recover(Store(store.models)))
        other.start()
        manifest = Manifest.build(Layer(CONFIG_TYPE, Digest.of(b"unnamed"), 7), ())
        store.manifests.put(ModelName.parse("new"), manifest)
    other.join()
    assert old.exists()


_START_AND_CREATE = """
import sys
from pathlib import Path
from ollama_jupyter.names import ModelName
from ollama_jupyter.store import recovery
from ollama_jupyter.store.manifests import CONFIG_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store

store, me = Store(Path(sys.argv[1])), sys.argv[2]
for number in range(40):
    text = f"{me} {number}".encode()
    with store.lock:
        manifest = Manifest.build(Layer(CONFIG_TYPE, store.blobs.put_bytes(text), len(text)), ())
        store.manifests.put(ModelName.parse(f"{me}:{number}"), manifest)
    recovery.YOUNG_BLOB = 0  # whatever nobody names goes at once
    recovery.recover(store)
"""


def test_two_servers_start_again_and_again_on_one_store(own: Path) -> None:
    own.mkdir()
    children = [subprocess.Popen([sys.executable, "-c", _START_AND_CREATE, str(own), me]) for me in ("a", "b")]
    assert [child.wait(120) for child in children] == [0, 0]
    store = Store(own)
    assert len(store.manifests.list()) == 80
    assert {manifest.config.digest for _, manifest in store.manifests.list()} == set(store.blobs.own())
