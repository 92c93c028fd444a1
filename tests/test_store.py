"""The store on disk: blobs by hash and rename, manifests byte for byte, names to models."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import write_tiny_gguf

from ollama_jupyter.errors import BadRequest, InvalidGGUF, ModelLoadError, ModelNotFound
from ollama_jupyter.messages import Message
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store import gojson
from ollama_jupyter.store.blobs import Blobs
from ollama_jupyter.store.files import write_atomically
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, CorruptManifest, Layer, Manifest, Manifests
from ollama_jupyter.store.models import Store

ABC = Digest.of(b"abc")


def files(folder: Path) -> set[str]:
    """Every file below `folder` but the lock."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found - {"partial/lock"}


def layer(store: Store, role: str, data: bytes, **fields: str) -> Layer:
    kind = role if "/" in role else LAYER_TYPE + role
    return Layer(kind, store.blobs.put_bytes(data), len(data), **fields)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def tiny(store: Store, tmp_path: Path) -> Layer:
    """A tiny model's weights, stored."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    return Layer(LAYER_TYPE + "model", store.blobs.put_file(path), path.stat().st_size, from_="tiny.gguf")


def publish(store: Store, name: str, *layers: Layer, config: dict[str, object] | None = None) -> Manifest:
    data = json.dumps(config or {"model_format": "gguf", "model_family": "llama"}).encode()
    manifest = Manifest.build(layer(store, CONFIG_TYPE, data), layers)
    store.manifests.put(ModelName.parse(name), manifest)
    return manifest


# ---- JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"), (5.0, "5"), (5, "5"), (1e6, "1000000"), (1e20, "1" + "0" * 20), (1e21, "1e+21"), (-0.0, "-0"),
        (1.5e300, "1.5e+300"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1.25e-10, "1.25e-10"), (0.1, "0.1"), (None, "null"),
        (1.2345678901234567e-06, "0.0000012345678901234567"), (True, "true"), ("é", '"é"'), ("a\n\t", '"a\\n\\t"'),
        ("<|x|>&", '"\\u003c|x|\\u003e\\u0026"'), ("\u2028\u2029", '"\\u2028\\u2029"'), ([], "[]"), ({}, "{}"),
        ({"b": [1, {"a": None}]}, '{"b":[1,{"a":null}]}'),
    ],
)  # fmt: skip
def test_json_is_written_as_in_go(value: object, text: str) -> None:
    assert gojson.encode(value).decode() == text + "\n"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_json_numbers_read_back_the_same(value: float) -> None:
    assert float(gojson.number(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_infinities(value: float) -> None:
    with pytest.raises(ValueError, match="not a JSON number"):
        gojson.encode({"a": value})


# ---- blobs --------------------------------------------------------------------------------------------------------


def test_blob_appears_whole_under_its_digest(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    assert not blobs.has(ABC)
    assert blobs.list() == []
    with blobs.writer(ABC) as writer:
        writer.write(b"ab")
        assert not blobs.has(ABC)
        assert [path.parent.name for path in tmp_path.rglob("tmp-*")] == ["partial"]  # never inside blobs/
        writer.write(b"c")
        assert writer.commit() == ABC
    assert files(tmp_path) == {f"blobs/sha256-{ABC.hex}"}
    assert (blobs.read(ABC), blobs.size(ABC), blobs.list()) == (b"abc", 3, [ABC])
    assert blobs.path(ABC).stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "blobs").stat().st_mode & 0o700 == 0o700


def test_wrong_bytes_leave_nothing_behind(tmp_path: Path) -> None:
    with Blobs(tmp_path).writer(ABC) as writer:
        writer.write(b"abd")
        with pytest.raises(BadRequest) as caught:
            writer.commit()
    wrong = hashlib.sha256(b"abd").hexdigest()
    assert caught.value.message == f'digest mismatch, expected "sha256:{ABC.hex}", got "sha256:{wrong}"'
    assert files(tmp_path) == set()


def test_an_abandoned_upload_leaves_nothing_behind(tmp_path: Path) -> None:
    with Blobs(tmp_path).writer() as writer:
        writer.write(b"half")
    assert files(tmp_path) == set()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond a kilobyte. For no longer than the block: pytest's own output may be a file."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [5000, 5_000_000])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, size: int) -> None:
    with pytest.raises(OSError, match="too large"), full_disk():
        Blobs(tmp_path).put_bytes(bytes(size))
    with pytest.raises(OSError, match="too large"), full_disk():
        write_atomically(bytes(size), tmp_path / "target", folder=tmp_path)
    assert files(tmp_path) == set()


def test_a_stored_blob_is_never_written_again(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    blobs.put_bytes(b"abc")
    before = blobs.path(ABC).stat()
    blobs.put_bytes(b"abc")
    with blobs.writer(ABC) as writer:
        writer.write(b"abc")
        writer.commit()
    after = blobs.path(ABC).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(files(tmp_path)) == 1


def test_put_file_links_and_leaves_the_source_alone(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"abc")
    source.chmod(0o600)
    os.utime(source, (1_000_000_000, 1_000_000_000))
    before = source.stat()
    seen: list[tuple[int, int]] = []
    assert Blobs(tmp_path / "m").put_file(source, lambda done, total: seen.append((done, total))) == ABC
    after = source.stat()
    assert (after.st_nlink, before.st_nlink) == (2, 1)
    assert after.st_ino == Blobs(tmp_path / "m").path(ABC).stat().st_ino
    assert (after.st_mtime_ns, after.st_mode, after.st_uid) == (before.st_mtime_ns, before.st_mode, before.st_uid)
    assert seen == [(3, 3)]


def test_put_file_copies_where_it_cannot_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source = tmp_path / "source.bin"
    source.write_bytes(b"abc")
    seen: list[tuple[int, int]] = []
    blobs = Blobs(tmp_path / "m")
    blobs.put_file(source, lambda done, total: seen.append((done, total)))
    assert blobs.read(ABC) == b"abc"
    assert source.stat().st_nlink == 1
    assert seen == [(3, 3), (3, 3)]  # hashed, then copied


def test_blobs_written_at_once_by_many_threads(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    threads = [threading.Thread(target=blobs.put_bytes, args=(b"abc",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(tmp_path) == {f"blobs/sha256-{ABC.hex}"}


# ---- manifests ----------------------------------------------------------------------------------------------------


def test_manifest_bytes_are_ollamas() -> None:
    config = Layer(CONFIG_TYPE, ABC, 3)
    layers = (Layer(LAYER_TYPE + "model", ABC, 7, from_="a<b.gguf"), Layer(LAYER_TYPE + "tensor", ABC, 1, name="x"))
    assert Manifest.build(config, layers).raw.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        f'"config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{ABC}","size":3}},'
        f'"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"{ABC}","size":7,'
        '"from":"a\\u003cb.gguf"},'
        f'{{"mediaType":"application/vnd.ollama.image.tensor","digest":"{ABC}","size":1,"name":"x"}}]}}\n'
    )


def test_manifest_round_trip(tmp_path: Path) -> None:
    manifests, name = Manifests(tmp_path), ModelName.parse("localhost:5000/ns/m:t")
    manifest = Manifest.build(Layer(CONFIG_TYPE, ABC, 3), (Layer(LAYER_TYPE + "model", ABC, 7),))
    manifests.put(name, manifest)
    assert files(tmp_path) == {"manifests/localhost:5000/ns/m/t"}
    found = manifests.get(name)
    assert found is not None
    assert (found.raw, found.digest) == (manifest.raw, hashlib.sha256(manifest.raw).hexdigest())
    assert (found.size, found.layers) == (10, manifest.layers)
    assert found.modified_at == name.manifest_path(tmp_path).stat().st_mtime


def test_pulled_manifests_keep_their_bytes(tmp_path: Path) -> None:
    raw = json.dumps({"layers": [], "config": {"mediaType": "x", "digest": str(ABC), "size": 1}}, indent=3).encode()
    Manifests(tmp_path).put(ModelName.parse("m"), Manifest.parse(raw))
    assert ModelName.parse("m").manifest_path(tmp_path).read_bytes() == raw


GOOD_LAYER = {"mediaType": "x", "digest": str(ABC), "size": 1}
CORRUPT = {
    "empty": b"",
    "not JSON": b"{",
    "not an object": b"[]",
    "deep": b"[" * 100_000,
    "no layers": json.dumps({"config": GOOD_LAYER}).encode(),
    "no config": json.dumps({"layers": []}).encode(),
    "layer is text": json.dumps({"config": GOOD_LAYER, "layers": ["x"]}).encode(),
    "negative size": json.dumps({"config": GOOD_LAYER | {"size": -1}, "layers": []}).encode(),
    "size of no file": json.dumps({"config": GOOD_LAYER | {"size": 1 << 60}, "layers": []}).encode(),
    "size is a bool": json.dumps({"config": GOOD_LAYER | {"size": True}, "layers": []}).encode(),
    "no media type": json.dumps({"config": GOOD_LAYER | {"mediaType": None}, "layers": []}).encode(),
    "too large": json.dumps({"config": GOOD_LAYER, "layers": [], "x": "x" * (4 << 20)}).encode(),
} | {
    f"digest {text!r}": json.dumps({"config": GOOD_LAYER | {"digest": text}, "layers": []}).encode()
    for text in ("", "sha256", "sha256:abcdef", "sha256:../../../../etc/passwd", "sha256:" + "g" * 64)
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in CORRUPT.items()])
def test_a_corrupt_manifest_is_told_and_skipped(store: Store, tiny: Layer, raw: bytes) -> None:
    publish(store, "good", tiny)
    path = ModelName.parse("bad").manifest_path(store.models)
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    with pytest.raises(CorruptManifest):
        store.manifests.get(ModelName.parse("bad"))
    assert [name.model for name, _ in store.manifests.list()] == ["good"]
    with pytest.raises(ModelLoadError, match="manifest of model 'bad:latest' is corrupt"):
        store.resolve("bad")


def test_a_manifest_without_layers_is_a_manifest(store: Store) -> None:
    """Ollama's stubs of models that run elsewhere have none, which it writes as null."""
    manifest = Manifest.parse(json.dumps({"config": GOOD_LAYER, "layers": None}).encode())
    assert (manifest.layers, manifest.size) == ((), 1)


def test_strangers_in_the_folder_are_overlooked(store: Store, tiny: Layer) -> None:
    publish(store, "good", tiny)
    root = store.models / "manifests"
    (root / ".DS_Store").write_text("x")
    (root / "registry.ollama.ai" / "library" / "good" / ".hidden").write_text("x")
    (root / "registry.ollama.ai" / "library" / "folder" / "latest").mkdir(parents=True)
    (store.models / "blobs" / "stranger").write_text("x")
    assert [str(name) for name, _ in store.manifests.list()] == ["good:latest"]
    assert store.manifests.get(ModelName.parse("folder")) is None


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Mistral:7B", "mistral:7b"),
        ("mistral:7b", "mistral:7b"),
        ("MISTRAL:New", "mistral:New"),
        ("other:7B", "other:7b"),
        ("Library/MISTRAL:7b", "mistral:7b"),
        ("USER/x", "User/x:latest"),
        ("unknown", "unknown:latest"),
    ],
)
def test_names_fold_into_the_stored_spelling(store: Store, tiny: Layer, asked: str, stored: str) -> None:
    publish(store, "mistral:7b", tiny)
    publish(store, "User/Model:A", tiny)
    assert store.manifests.canonical(ModelName.parse(asked)).display == stored


def test_a_whole_match_beats_the_spelling_of_parts(store: Store, tiny: Layer) -> None:
    publish(store, "Foo:a", tiny)
    publish(store, "foo:b", tiny)
    assert store.manifests.canonical(ModelName.parse("foo:A")).display == "Foo:a"
    assert store.resolve("FOO:B").name.display == "foo:b"


def test_delete_removes_empty_folders_only(store: Store, tiny: Layer) -> None:
    publish(store, "ns/a:1", tiny)
    publish(store, "b:1", tiny)
    store.manifests.delete(ModelName.parse("ns/a:1"))
    assert not (store.models / "manifests/registry.ollama.ai/ns").exists()
    assert (store.models / "manifests/registry.ollama.ai/library/b/1").exists()


def test_a_vanished_folder_does_not_stop_a_manifest(store: Store, tiny: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may prune an empty folder between its making and the rename."""
    from ollama_jupyter.store import files as module

    made, real = [], module.make_folder

    def vanish(folder: Path) -> None:
        real(folder)
        if "manifests" in folder.parts and not made:
            made.append(folder)
            folder.rmdir()

    monkeypatch.setattr(module, "make_folder", vanish)
    publish(store, "m", tiny)
    assert made
    assert store.resolve("m").name.display == "m:latest"


def test_prune_spares_what_any_manifest_names(store: Store, tiny: Layer) -> None:
    shared, own = layer(store, "system", b"shared"), layer(store, "system", b"own")
    publish(store, "keeper", tiny, shared)
    corrupt = ModelName.parse("corrupt").manifest_path(store.models)
    corrupt.parent.mkdir(parents=True)
    text = layer(store, "license", b"named by a half-written manifest")
    corrupt.write_text(f'{{"layers":[{{"digest":"{text.digest}"')
    with store.lock:
        store.prune(frozenset({shared.digest, own.digest, tiny.digest, text.digest}))
    left = set(store.blobs.list())
    assert own.digest not in left
    assert {shared.digest, tiny.digest, text.digest} <= left


# ---- models -------------------------------------------------------------------------------------------------------


def test_resolve_reads_every_layer(store: Store, tiny: Layer) -> None:
    manifest = publish(
        store,
        "Full:x",
        tiny,
        layer(store, "template", b"{{ .Prompt }}!"),
        layer(store, "system", b"Be brief."),
        layer(store, "license", b"one"),
        layer(store, "license", b"two"),
        layer(store, "params", b'{"stop":["a"],"temperature":0.5}\n'),
        layer(store, "messages", b'[{"role":"User","content":"hi"},{"role":"assistant","content":"ho"}]\n'),
        layer(store, "adapter", b"adapter"),
        layer(store, "projector", b"projector"),
        config={"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "28K",
                "file_type": "unknown", "parser": "p"},
    )  # fmt: skip
    model = store.resolve("full:X")
    assert (model.name.display, model.digest, model.size) == ("Full:x", manifest.digest, manifest.size)
    assert (model.template, model.system, model.licenses) == ("{{ .Prompt }}!", "Be brief.", ("one", "two"))
    assert model.params == {"stop": ["a"], "temperature": 0.5}
    assert model.messages == (Message("user", "hi"), Message("assistant", "ho"))
    assert (len(model.adapters), len(model.projectors), model.parser) == (1, 1, "p")
    assert (model.bos, model.eos, model.family, model.trained_ctx) == ("<s>", "</s>", "llama", 512)
    assert model.chat_template is not None
    details = model.details
    assert (details.parent_model, details.parameter_size, details.quantization_level) == ("tiny.gguf", "28K", "F32")
    assert (details.context_length, details.embedding_length, details.families) == (512, 32, ("llama",))


@pytest.mark.parametrize("number", [10**30, 2**63, -5, "many", 4.5, True])
def test_no_model_makes_a_list_unreadable(store: Store, tiny: Layer, number: object) -> None:
    """Ollama's clients read a list as a whole, its numbers as 64 bits."""
    publish(store, "odd", tiny, config={"context_length": number, "embedding_length": number})
    details = store.resolve("odd").details
    assert (details.context_length, details.embedding_length) == (512, 32)


def test_a_bare_model(store: Store, tiny: Layer) -> None:
    publish(store, "bare", tiny)
    model = store.resolve("bare")
    assert (model.template, model.system, model.params, model.messages, model.licenses) == (None, "", {}, (), ())


@pytest.mark.parametrize("name", ["missing", "bare:other"])
def test_unknown_models(store: Store, tiny: Layer, name: str) -> None:
    publish(store, "bare", tiny)
    with pytest.raises(ModelNotFound, match=f"model '{name}' not found"):
        store.resolve(name)


def test_a_lost_blob_is_told_without_its_path(store: Store, tiny: Layer) -> None:
    publish(store, "m", tiny)
    store.resolve("m")
    store.blobs.delete(tiny.digest)
    with pytest.raises(ModelLoadError) as caught:
        store.resolve("m")
    assert "incomplete" in caught.value.message
    assert str(store.models) not in caught.value.message


def test_weights_that_the_reader_refuses(store: Store) -> None:
    publish(store, "m", layer(store, "model", b"GGUF" + bytes(100)))
    with pytest.raises(InvalidGGUF):
        store.resolve("m")


def test_a_model_of_another_format(store: Store) -> None:
    publish(store, "m", layer(store, "tensor", b"x"), config={"model_format": "safetensors"})
    with pytest.raises(BadRequest, match="no GGUF weights"):
        store.resolve("m")


@pytest.mark.parametrize("role", ["params", "messages"])
@pytest.mark.parametrize("data", [b"{", b"[1]", b'"x"', b"7"])
def test_layers_that_cannot_be_read(store: Store, tiny: Layer, role: str, data: bytes) -> None:
    publish(store, "m", tiny, layer(store, role, data))
    with pytest.raises(ModelLoadError, match="a layer of model 'm:latest' cannot be read"):
        store.resolve("m")


def test_a_model_made_anew_is_seen(store: Store, tiny: Layer) -> None:
    publish(store, "m", tiny, layer(store, "system", b"one"))
    assert store.resolve("m").system == "one"
    publish(store, "m", tiny, layer(store, "system", b"two"))
    assert store.resolve("m").system == "two"


def test_two_stores_on_one_folder_exclude_each_other(store: Store) -> None:
    other, order = Store(store.models), []

    def work() -> None:
        with other.lock:
            order.append("other")

    with store.lock:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_a_list_is_read_while_its_folders_come_and_go(tmp_path: Path) -> None:
    """Deleting the last model of a host takes the host's folder with it, under whoever is listing."""
    manifests = Manifests(tmp_path)
    manifest = Manifest.build(Layer(CONFIG_TYPE, ABC, 3), ())
    names = [ModelName.parse(f"host{i}.example/ns/m:t") for i in range(3)]
    ended = threading.Event()

    def come_and_go() -> None:
        for _ in range(300):
            for name in names:
                manifests.put(name, manifest)
            for name in names:
                manifests.delete(name)
        ended.set()

    writer = threading.Thread(target=come_and_go)
    writer.start()
    seen = []
    while not ended.is_set():
        seen.append(len(manifests.names()))
        manifests.referenced()
    writer.join()
    assert set(seen) <= {0, 1, 2, 3}
    assert max(seen) > 0
