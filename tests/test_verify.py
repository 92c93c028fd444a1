"""Verifying and repairing a store: what went wrong is found, and nothing is made worse."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from models import write_tiny_gguf

from ollama_jupyter.config import Settings
from ollama_jupyter.errors import Canceled, ModelNotFound, OllamaJupyterError
from ollama_jupyter.library import Library, embedded
from ollama_jupyter.library.embedded import EmbeddedModel
from ollama_jupyter.library.repair import Refetch, Repair
from ollama_jupyter.library.tools import verify_store
from ollama_jupyter.library.verify import verify
from ollama_jupyter.messages import CreateRequest, Progress, VerifyRequest
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.reports import Problem, VerifyReport
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.recovery import recover


@pytest.fixture(autouse=True)
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "package_folders", tuple)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two models that share their weights; "pulled" came from a registry, "made" is one's own."""
    store = Store(tmp_path / "models")
    fill(store, tmp_path)
    return store


def fill(store: Store, folder: Path) -> None:
    path = write_tiny_gguf(folder / "tiny.gguf")
    weights = Layer(LAYER_TYPE + "model", store.blobs.put_file(path), path.stat().st_size)
    path.unlink()  # the store's own file from now on
    for name, words in (("pulled", "pulled words"), ("made", "own words")):
        config = Layer(CONFIG_TYPE, store.blobs.put_bytes(b'{"model_format":"gguf"}'), 23)
        system = Layer(LAYER_TYPE + "system", store.blobs.put_bytes(words.encode()), len(words))
        manifest = Manifest.build(config, (weights, system))
        if name == "pulled":
            manifest = Manifest.parse(manifest.raw.rstrip(b"\n"))  # as registries send it
        store.manifests.put(ModelName.parse(name), manifest)


def weights_of(store: Store) -> Path:
    return store.resolve("pulled").weights


def check(store: Store, name: str = "") -> VerifyReport:
    return verify(store, ignore, name=ModelName.parse(name) if name else None)[0]


def mend(store: Store, refetch: Refetch | None = None) -> VerifyReport:
    found, wanted = verify(store, ignore)
    return Repair(store, wanted, EmbeddedModel(store), refetch).mend(found, ignore)


def ignore(progress: Progress) -> None:
    pass


def kinds(report: VerifyReport) -> list[str]:
    return [problem.kind for problem in report.problems]


def flip(path: Path) -> None:
    """One bit, in the middle; the file keeps its inode, as when a disk fails."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


# ---- finding ------------------------------------------------------------------------------------------------------


def test_a_store_written_by_us_is_well(store: Store) -> None:
    report = check(store)
    assert report.to_json() == {
        "ok": True,
        "models": 2,
        "blobs": 4,
        "bytes": weights_of(store).stat().st_size + 23 + 12 + 9,
        "problems": [],
    }


def test_an_empty_store_is_well(tmp_path: Path) -> None:
    assert check(Store(tmp_path / "none")).to_json() == {
        "ok": True,
        "models": 0,
        "blobs": 0,
        "bytes": 0,
        "problems": [],
    }
    assert not (tmp_path / "none").exists()


async def test_what_create_writes_is_well(tmp_path: Path) -> None:
    library = Library(Store(tmp_path / "models"), Settings(models=tmp_path / "models"))
    digest = str(library.store.blobs.put_file(write_tiny_gguf(tmp_path / "tiny.gguf")))
    request = CreateRequest(
        model="all",
        files={"a.gguf": digest},
        system="s",
        template="{{ .Prompt }}",
        parameters={"seed": 1},
        license=("l",),
    )
    async for _ in library.create(request):
        pass
    await library.copy("all", "host.example/ns/copy:x")
    assert check(library.store).to_json()["problems"] == []


BOTH, PULLED = ("made:latest", "pulled:latest"), ("pulled:latest",)


@pytest.mark.parametrize(
    ("harm", "kind", "detail"),
    [
        (flip, "corrupt", "its bytes are not those that it is named by"),
        (lambda path: os.truncate(path, 1000), "corrupt", "it holds 1000 bytes where its manifest says "),
        (lambda path: path.write_bytes(b""), "corrupt", "it holds 0 bytes where its manifest says "),
        (lambda path: path.unlink(), "missing", " bytes are missing"),
        (lambda path: (path.unlink(), path.mkdir()), "missing", " bytes are missing"),
    ],
)
def test_harm_is_found(store: Store, harm: Callable[[Path], object], kind: str, detail: str) -> None:
    path = weights_of(store)
    digest = f"sha256:{path.name[7:]}"
    harm(path)
    [problem] = check(store).problems
    assert (problem.kind, problem.digest, problem.models) == (kind, digest, BOTH)
    assert (detail in problem.detail, problem.serious, bool(problem.remedy)) == (True, True, True)
    assert kinds(check(store, "made")) == [kind]


def test_only_the_models_that_suffer_are_named(store: Store) -> None:
    flip(store.blobs.path(Digest.of(b"pulled words")))
    [problem] = check(store).problems
    assert problem.models == PULLED
    assert check(store, "made").ok
    assert not check(store, "pulled").ok


def test_manifests_that_say_another_size(store: Store) -> None:
    name = ModelName.parse("made")
    manifest = store.manifests.get(name)
    assert manifest is not None
    size = manifest.layers[0].size
    store.manifests.put(name, Manifest.parse(manifest.raw.replace(str(size).encode(), b"17")))
    [problem] = check(store).problems
    assert (problem.kind, problem.models) == ("wrong size", ("made:latest",))
    assert problem.detail == f"its {size} bytes are right, but manifests say 17"


def test_corrupt_manifests(store: Store) -> None:
    for name, text in (("pulled", "{"), ("made", '{"layers": []}')):
        ModelName.parse(name).manifest_path(store.models).write_text(text)
    report = check(store)
    assert [(p.kind, p.models, p.detail) for p in report.problems if p.serious] == [
        ("manifest", ("made:latest",), "the manifest of made:latest is corrupt: a layer is not an object"),
        ("manifest", ("pulled:latest",), "the manifest of pulled:latest is corrupt: not JSON"),
    ]
    assert not report.ok
    assert kinds(check(store, "pulled")) == ["manifest"]


def test_what_nobody_needs_is_a_note(store: Store) -> None:
    store.blobs.put_bytes(b"unnamed")
    for name in ("notes.txt", f"sha256-{'a' * 64}-partial"):
        (store.models / "blobs" / name).write_text("x")
    report = check(store)
    assert [(p.kind, p.digest, p.detail, p.serious) for p in report.problems] == [
        ("unreferenced", str(Digest.of(b"unnamed")), "no model uses it", False),
        ("stranger", "", "2 files among the blobs that are none", False),
    ]
    assert report.ok
    assert kinds(check(store, "made")) == []


def test_a_model_that_is_not_there(store: Store) -> None:
    with pytest.raises(ModelNotFound):
        check(store, "none")


def test_a_blob_that_is_deleted_meanwhile_is_no_problem(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from ollama_jupyter.library import verify as module

    extra = store.blobs.put_bytes(b"unnamed")
    real = module.hash_file

    def hash_and_delete(path: Path, progress: Callable[[int, int], None]) -> Digest:
        store.blobs.delete(extra)
        return real(path, progress)

    monkeypatch.setattr(module, "hash_file", hash_and_delete)
    assert check(store).problems == ()


def test_a_model_that_is_deleted_meanwhile_misses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = store.blobs.list

    def delete_first() -> list[Digest]:
        for name in store.manifests.names():
            store.manifests.delete(name)
        for digest in listed():
            store.blobs.delete(digest)
        return []

    monkeypatch.setattr(store.blobs, "list", delete_first)
    assert check(store).problems == ()


def test_progress_is_in_bytes_and_can_end_it(store: Store) -> None:
    lines: list[Progress] = []
    verify(store, lines.append)
    assert {line.status for line in lines} == {"verifying"}
    assert [line.completed for line in lines] == sorted(line.completed for line in lines)
    assert lines[-1].completed == lines[-1].total == check(store).size

    def give_up(progress: Progress) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        verify(store, give_up)


# ---- repairing ----------------------------------------------------------------------------------------------------


def test_a_good_store_is_not_touched(store: Store) -> None:
    before = {str(path): path.stat().st_mtime_ns for path in store.models.rglob("*")}
    assert mend(store) == check(store)
    assert {str(path): path.stat().st_mtime_ns for path in store.models.rglob("*")} == before


def test_what_cannot_be_had_again_is_set_aside(store: Store) -> None:
    """Out of the way, so that whoever brings it again is not told that it is here; and kept for a month."""
    path = weights_of(store)
    flip(path)
    bad = path.read_bytes()
    [problem] = mend(store).problems
    assert (problem.repaired, problem.remedy) == (False, "pull the model again, or create it again from its source")
    assert problem.detail.endswith("; it was set aside")
    aside = store.models / "partial" / f"bad-{path.name}"
    assert (aside.read_bytes(), path.exists()) == (bad, False)
    assert kinds(check(store)) == ["missing"]
    recover(store)
    assert aside.exists()


def test_without_repair_nothing_is_changed(store: Store) -> None:
    path = weights_of(store)
    flip(path)
    before = path.read_bytes()
    check(store)
    assert path.read_bytes() == before


def test_a_blob_is_fetched_again(store: Store) -> None:
    path, good = weights_of(store), weights_of(store).read_bytes()
    flip(path)
    asked = []

    def refetch(digest: Digest, size: int, name: ModelName, report: Callable[[Progress], None]) -> None:
        assert not path.exists()  # else a pull would take it for there
        asked.append((str(digest), size, str(name)))
        store.blobs.put_bytes(good)

    [problem] = mend(store, refetch).problems
    assert problem.repaired
    # Only the model that came from a registry is asked for; "made" is nobody else's business.
    assert asked == [(f"sha256:{path.name[7:]}", len(good), "pulled:latest")]
    assert path.read_bytes() == good
    assert list((store.models / "partial").glob("bad-*")) == []
    assert check(store).problems == ()
    assert store.resolve("made").system == "own words"


def test_what_was_known_of_the_bad_blob_is_forgotten(store: Store) -> None:
    flip(store.blobs.path(Digest.of(b"pulled words")))
    assert store.resolve("pulled").system != "pulled words"
    mend(store, lambda *_: store.blobs.put_bytes(b"pulled words"))  # type: ignore[arg-type, return-value]
    assert store.resolve("pulled").system == "pulled words"


def test_a_loaded_model_keeps_its_file(store: Store) -> None:
    """As a server has it mapped: the bytes that it sees stay the same whatever becomes of the name."""
    path, good = weights_of(store), weights_of(store).read_bytes()
    flip(path)
    bad = path.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mend(store, lambda digest, size, name, report: ignore(store.blobs.put_bytes(good))).ok  # type: ignore[arg-type]
        assert mapped[:] == bad
        assert path.read_bytes() == good
        assert path.stat().st_ino != os.fstat(file.fileno()).st_ino


def test_a_registry_that_fails_leaves_it_set_aside(store: Store) -> None:
    flip(weights_of(store))

    def refetch(*_: object) -> None:
        raise OllamaJupyterError("no such thing")

    [problem] = mend(store, refetch).problems
    assert not problem.repaired
    assert len(list((store.models / "partial").glob("bad-*"))) == 1


@pytest.mark.parametrize("harm", [flip, Path.unlink])
def test_a_blob_that_somebody_else_has_mended_is_left_alone(store: Store, harm: Callable[[Path], object]) -> None:
    """Between the verification and its repair: a good file is never set aside."""
    path, good = weights_of(store), weights_of(store).read_bytes()
    harm(path)
    found, wanted = verify(store, ignore)
    path.unlink(missing_ok=True)
    digest = store.blobs.put_bytes(good)
    inode = path.stat().st_ino
    [problem] = Repair(store, wanted, EmbeddedModel(store), None).mend(found, ignore).problems
    assert problem.repaired
    assert (path.stat().st_ino, store.blobs.has(digest)) == (inode, True)
    assert list(store.models.glob("partial/bad-*")) == []


def test_a_blob_that_is_mended_at_the_last_moment_is_left_alone(store: Store) -> None:
    path, good = weights_of(store), weights_of(store).read_bytes()
    flip(path)

    class Lock:
        """Whoever held it before has mended the blob."""

        def __enter__(self) -> None:
            path.unlink()
            store.blobs.put_bytes(good)

        def __exit__(self, *_: object) -> None:
            pass

    found, wanted = verify(store, ignore)
    store.lock = Lock()  # type: ignore[assignment]
    [problem] = Repair(store, wanted, EmbeddedModel(store), None).mend(found, ignore).problems
    assert (problem.repaired, problem.remedy) == (False, "it has changed meanwhile: verify again")
    assert path.read_bytes() == good


@pytest.mark.parametrize("error", [Canceled(), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_repair_that_is_broken_off_puts_it_back(store: Store, error: BaseException) -> None:
    path = weights_of(store)
    flip(path)

    def refetch(*_: object) -> None:
        raise error

    with pytest.raises(type(error)):
        mend(store, refetch)
    assert path.exists()
    assert kinds(check(store)) == ["corrupt"]


def test_a_killed_repair_leaves_a_missing_blob_and_the_bad_one(store: Store) -> None:
    """Between the two renames: the model says what is wrong with it, and the next repair goes on."""
    path, good = weights_of(store), weights_of(store).read_bytes()
    (store.models / "partial").mkdir(exist_ok=True)
    path.rename(store.models / "partial" / f"bad-{path.name}")
    store.forget(Digest(path.name[7:]))
    with pytest.raises(OllamaJupyterError, match="a blob is missing"):
        store.resolve("made")
    assert mend(store, lambda *_: store.blobs.put_bytes(good)).ok  # type: ignore[arg-type, return-value]
    assert list((store.models / "partial").glob("bad-*")) == []


def test_a_bad_blob_that_nobody_names_is_removed(store: Store) -> None:
    digest = store.blobs.put_bytes(b"unnamed")
    flip(store.blobs.path(digest))
    report = mend(store)
    assert [(p.kind, p.serious, p.repaired) for p in report.problems] == [
        ("corrupt", False, True),
        ("unreferenced", False, False),
    ]
    assert not store.blobs.has(digest)


def test_the_embedded_model_is_mended_from_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(embedded, "package_folders", lambda: (folder,))
    monkeypatch.setattr(embedded, "recorded_digest", lambda file: None)
    source = write_tiny_gguf(folder / "tiny.gguf")
    store = Store(tmp_path / "models")
    EmbeddedModel(store).ensure(embedded.NAME, ignore)
    path = store.resolve(embedded.NAME).weights
    assert path.stat().st_ino == source.stat().st_ino  # linked: harm to one is harm to both
    path.unlink()
    path.write_bytes(source.read_bytes())
    flip(path)
    assert [problem.repaired for problem in mend(store).problems] == [True]
    assert check(store).problems == ()
    assert path.stat().st_ino != source.stat().st_ino
    flip(path)
    flip(source)
    assert [problem.repaired for problem in mend(store).problems] == [False]


# ---- the search path ----------------------------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path: Path) -> Store:
    """One's own folder and a shared one, with the same models."""
    for folder in ("own", "shared"):
        fill(Store(tmp_path / folder), tmp_path)
    return Store(tmp_path / "own", (tmp_path / "shared",))


def test_every_copy_is_checked(both: Store) -> None:
    digest = Digest.of(b"pulled words")
    own, shared = both.blobs.copies(digest)
    assert check(both).blobs == 8
    flip(shared)
    [problem] = check(both).problems
    assert (problem.serious, problem.remedy) == (False, "it lies in a shared folder: its owner has to mend it")
    assert mend(both).problems == (problem,)
    flip(own)
    assert [problem.serious for problem in check(both).problems] == [True, False]


def test_a_good_shared_copy_replaces_ones_own(both: Store) -> None:
    own, shared = both.blobs.copies(Digest.of(b"pulled words"))
    flip(own)
    before = shared.stat()
    assert [problem.repaired for problem in mend(both).problems] == [True]
    assert (own.exists(), shared.stat()) == (False, before)
    assert both.resolve("pulled").system == "pulled words"
    assert check(both).ok


def test_a_bad_shared_copy_is_covered_by_one_of_ones_own(tmp_path: Path, both: Store) -> None:
    store = Store(tmp_path / "fresh", (tmp_path / "shared", tmp_path / "own"))
    digest = Digest.of(b"pulled words")
    first, _ = store.blobs.copies(digest)
    flip(first)
    bad = first.read_bytes()
    report = mend(store)
    assert [problem.repaired for problem in report.problems] == [True]
    assert (first.read_bytes(), store.blobs.read(digest)) == (bad, b"pulled words")
    assert store.blobs.path(digest) == store.blobs.own_path(digest)


# ---- for the terminal and the server ------------------------------------------------------------------------------


def test_the_store_of_the_settings(store: Store) -> None:
    report = verify_store(Settings(models=store.models), VerifyRequest("made"), ignore)
    assert (report.ok, report.models, report.blobs) == (True, 1, 3)


async def test_the_library_tells_its_progress_and_then_the_report(store: Store) -> None:
    library = Library(store, Settings(models=store.models))
    flip(store.blobs.path(Digest.of(b"own words")))
    lines = [line async for line in library.tools.verify(VerifyRequest(), trusted=False)]
    assert {type(line) for line in lines[:-1]} == {Progress}
    report = lines[-1]
    assert isinstance(report, VerifyReport)
    assert json.loads(json.dumps(report.to_json()))["problems"] == [
        {
            "kind": "corrupt",
            "digest": str(Digest.of(b"own words")),
            "models": ["made:latest"],
            "detail": "its bytes are not those that it is named by",
            "remedy": "verify with repair sets it aside and gets it again where it can",
            "serious": True,
            "repaired": False,
        }
    ]
    assert isinstance(report.problems[0], Problem)
