"""The model-free verbs through their public door."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from creating import blob_of, contents, files, make, manifest_of, statuses, upload
from models import CHAT_TEMPLATE, gguf_bytes, gguf_tensor, gguf_value, minimal_gguf, minimal_values, write_tiny_gguf

from ollama_jupyter.config import DEFAULT_MODEL, Settings
from ollama_jupyter.errors import (
    BadRequest,
    Canceled,
    InvalidDigest,
    InvalidGGUF,
    InvalidName,
    InvalidOption,
    ModelLoadError,
    ModelNotFound,
    OllamaJupyterError,
    TemplateError,
)
from ollama_jupyter.gguf import read_header
from ollama_jupyter.library import Library, embedded
from ollama_jupyter.library.layers import human_number
from ollama_jupyter.library.work import Report, stream
from ollama_jupyter.messages import CreateRequest, Message, Progress, ToolCall
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.blobs import BlobWriter
from ollama_jupyter.store.models import Store

GO = "{{ .System }}|{{ .Prompt }}"


@pytest.fixture(autouse=True)
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of the embedded default, unless a test says otherwise."""
    monkeypatch.setattr(embedded, "package_folders", tuple)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def library(models: Path) -> Library:
    return Library(Store(models), Settings(models=models))


@pytest.fixture
def tiny(tmp_path: Path) -> bytes:
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()


# ---- create -------------------------------------------------------------------------------------------------------


async def test_create_from_a_file(library: Library, models: Path, tiny: bytes) -> None:
    lines = await make(library, "fresh", tiny)
    digest = Digest.of(tiny)
    assert lines == ["parsing GGUF", f"using existing layer {digest}", "writing manifest", "success"]
    manifest = manifest_of(models, "fresh")
    kind = "application/vnd.ollama.image.model"
    assert manifest["layers"] == [{"mediaType": kind, "digest": str(digest), "size": len(tiny), "from": "tiny.gguf"}]
    assert blob_of(models, manifest["config"]).decode() == (
        '{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"29K",'
        '"file_type":"F32","architecture":"amd64","os":"linux"}\n'
    )
    assert files(models) == {
        "manifests/registry.ollama.ai/library/fresh/latest",
        f"blobs/sha256-{digest.hex}",
        f"blobs/sha256-{manifest['config']['digest'][7:]}",
    }


async def test_every_layer_byte_for_byte(library: Library, models: Path, tiny: bytes) -> None:
    call = ToolCall("f", {"b": 1, "a": "<x>"}, id="call_1")
    lines = await make(
        library,
        "all",
        tiny,
        template=GO,
        system="Be brief.",
        license=("one", "two"),
        parameters={"temperature": 0.5, "stop": ["<|x|>"], "num_ctx": 4096.0, "top_k": None, "unknown": [1]},
        messages=(Message("User", "hi"), Message("assistant", "", thinking="hm", images=(b"png",), tool_calls=(call,))),
        renderer="r",
        parser="p",
        requires="0.14.0",
    )
    assert contents(models, "all") == [
        ("template", GO.encode()),
        ("system", b"Be brief."),
        ("license", b"one"),
        ("license", b"two"),
        ("params", b'{"num_ctx":4096,"stop":["\\u003c|x|\\u003e"],"temperature":0.5,"unknown":[1]}\n'),
        (
            "messages",
            b'[{"role":"user","content":"hi"},{"role":"assistant","content":"","thinking":"hm","images":["cG5n"],'
            b'"tool_calls":[{"id":"call_1","function":{"index":0,"name":"f",'
            b'"arguments":{"a":"\\u003cx\\u003e","b":1}}}]}]\n',
        ),
    ]
    assert (
        blob_of(models, manifest_of(models, "all")["config"])
        .decode()
        .endswith(
            '"file_type":"F32","renderer":"r","parser":"p","requires":"0.14.0","architecture":"amd64","os":"linux"}\n'
        )
    )
    new = [f"creating new layer {layer['digest']}" for layer in manifest_of(models, "all")["layers"][1:]]
    assert lines == ["parsing GGUF", f"using existing layer {Digest.of(tiny)}", *new, "writing manifest", "success"]
    again = await make(library, "again", tiny, system="Be brief.")
    assert f"using existing layer {Digest.of(b'Be brief.')}" in again


async def test_create_from_a_model(library: Library, models: Path, tiny: bytes) -> None:
    base = {"template": GO, "license": ("one",), "parameters": {"temperature": 0.5, "stop": ["a"]}, "system": "old"}
    await make(library, "Base:1", tiny, messages=(Message("user", "q"),), parser="p", **base)
    await make(library, "child", from_="base:1", license=("two",), parameters={"stop": ["b"]}, system="new")
    manifest = manifest_of(models, "child")
    assert {layer.get("from") for layer in manifest["layers"]} == {"Base:1", None}
    assert contents(models, "child") == [
        ("template", GO.encode()),
        ("license", b"one"),
        ("messages", b'[{"role":"user","content":"q"}]\n'),
        ("system", b"new"),
        ("license", b"two"),
        ("params", b'{"stop":["b"],"temperature":0.5}\n'),
    ]
    assert json.loads(blob_of(models, manifest["config"]))["parser"] == "p"
    row = next(row for row in await library.tags() if row.name == "child:latest")
    assert row.details.parent_model == "Base:1"
    await make(library, "child", from_="child", messages=(Message("user", "other"),))
    assert dict(contents(models, "child"))["messages"] == b'[{"role":"user","content":"other"}]\n'


async def test_overwriting_removes_what_nobody_uses(library: Library, models: Path, tiny: bytes) -> None:
    await make(library, "m", tiny, system="shared")
    await library.copy("m", "copy")
    await make(library, "M", from_="m", system="own")
    await make(library, "m", from_="M", system="newest")
    assert not Digest.of(b"own").blob_path(models).exists()
    assert Digest.of(b"shared").blob_path(models).exists()
    assert [row.name for row in await library.tags()] == ["m:latest", "copy:latest"]


async def test_noprune_keeps_them(models: Path, tiny: bytes) -> None:
    library = Library(Store(models), Settings(models=models, noprune=True))
    await make(library, "m", tiny, system="first")
    await make(library, "m", from_="m", system="second")
    assert Digest.of(b"first").blob_path(models).exists()


async def test_a_projector_goes_beside_the_weights(library: Library, models: Path, tiny: bytes) -> None:
    clip = {"general.architecture": gguf_value("string", "clip"), "clip.has_vision_encoder": gguf_value("bool", True)}
    projector = gguf_bytes(clip, [gguf_tensor("v.weight", (32,))], data=128)
    uploads = {"tiny.gguf": await upload(library, tiny), "mmproj.gguf": await upload(library, projector)}
    assert (await make(library, "seeing", files=uploads))[:2] == ["parsing GGUF"] * 2
    assert [layer["mediaType"][-9:] for layer in manifest_of(models, "seeing")["layers"]] == ["projector", "age.model"]
    shown = await library.show("seeing")
    assert "vision" in shown.capabilities
    assert shown.projector_info is not None
    assert shown.projector_info["clip.has_vision_encoder"] is True
    with pytest.raises(BadRequest, match="no base model"):
        await make(library, "blind", files={"mmproj.gguf": uploads["mmproj.gguf"]})


async def test_builtin_architectures_get_ollamas_defaults(library: Library, models: Path) -> None:
    values = {key.replace("llama.", "gemma4."): value for key, value in minimal_values().items()}
    values["general.architecture"] = gguf_value("string", "gemma4")
    data = gguf_bytes(values, [gguf_tensor("token_embd.weight", (32, 4))], data=512)
    await make(library, "gem", data, parameters={"top_k": 1})
    assert contents(models, "gem") == [("params", b'{"stop":["\\u003cturn|\\u003e"],"top_k":1}\n')]
    config = json.loads(blob_of(models, manifest_of(models, "gem")["config"]))
    assert (config["renderer"], config["parser"]) == ("gemma4", "gemma4")


D = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"model": ""}, InvalidName, "invalid model name"),
        ({"model": "a/b/c/d", "from_": "m"}, InvalidName, "invalid model name"),
        ({}, BadRequest, "neither 'from' or 'files' was specified"),
        ({"files": {}}, BadRequest, "unknown type"),
        ({"files": {"/etc/passwd": D}}, BadRequest, "file path must be relative"),
        ({"files": {"../x.gguf": D}}, BadRequest, "file path must be relative"),
        ({"files": {"a/../../x.gguf": D}}, BadRequest, "file path must be relative"),
        ({"files": {".": D}}, BadRequest, "file path must be relative"),
        ({"files": {"": D}}, BadRequest, "file path must be relative"),
        ({"files": {"x.gguf": ""}}, InvalidDigest, "invalid digest format"),
        ({"files": {"x.gguf": "/dev/random"}}, InvalidDigest, "invalid digest format"),
        ({"files": {"x.gguf": "sha256:../../etc/passwd"}}, InvalidDigest, "invalid digest format"),
        ({"files": {"x.gguf": D}}, BadRequest, f'blob "{D}" not found: upload it first'),
        ({"files": {"/dev/random": D}}, BadRequest, "file path must be relative"),
        ({"files": {"model.safetensors": D}}, BadRequest, f'blob "{D}" not found: upload it first'),
        ({"from_": "a/b/c/d"}, InvalidName, "invalid model name"),
        ({"from_": "/etc/passwd"}, InvalidName, "invalid model name"),
        ({"from_": "m", "template": "{{ .Prompt"}, TemplateError, "template error: "),
        ({"from_": "m", "parameters": {"temperature": "hot"}}, InvalidOption, 'option "temperature" must be of type'),
        ({"from_": "m", "parameters": {"num_ctx": -1}}, InvalidOption, 'option "num_ctx" must be between'),
    ],
)
async def test_refusals(
    library: Library, models: Path, tiny: bytes, fields: dict[str, Any], error: type[BadRequest], message: str
) -> None:
    await make(library, "m", tiny)
    before = files(models)
    progress = library.create(CreateRequest(**{"model": "new", **fields}))
    with pytest.raises(error) as caught:  # before the first line, so that it gets a status
        await anext(progress)
    assert caught.value.message.startswith(message)
    assert str(models) not in caught.value.message
    assert files(models) == before


async def test_from_answers_alike_for_paths_that_exist_and_not(library: Library) -> None:
    texts = []
    for path in ("/etc/passwd", "/etc/passwd-that-is-not"):
        with pytest.raises(InvalidName) as caught:
            await make(library, "new", from_=path)
        texts.append(caught.value.message)
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("x.gguf", b"PK\x03\x04../x" + bytes(100), InvalidGGUF, "supplied file was not in GGUF format"),
        ("x", b"PK\x03\x04../x" + bytes(100), BadRequest, "unknown type"),
        ("x", b"GGUF" + bytes(100), InvalidGGUF, "invalid GGUF: version 0"),
        (
            "x.gguf",
            minimal_gguf(llama__block_count=gguf_value("uint32", 513)),
            InvalidGGUF,
            "invalid GGUF: llama.block",
        ),
        ("x.gguf", minimal_gguf(general__type=gguf_value("string", "adapter")), BadRequest, "x.gguf is a GGUF adapter"),
        ("x.gguf", minimal_gguf(split__count=gguf_value("uint16", 3)), InvalidGGUF, "invalid GGUF: split.no must"),
    ],
)
async def test_a_refused_upload_is_removed(
    library: Library, models: Path, name: str, data: bytes, error: type[BadRequest], message: str
) -> None:
    digest = await upload(library, data)
    with pytest.raises(error) as caught:
        await make(library, "new", files={name: digest})
    assert caught.value.message.startswith(message)
    assert caught.value.status == 400
    assert files(models) == set()


async def test_a_refused_blob_stays_if_a_manifest_names_it(library: Library, models: Path, tiny: bytes) -> None:
    await make(library, "m", tiny, license=("not a GGUF",))
    license_digest = str(Digest.of(b"not a GGUF"))
    with pytest.raises(InvalidGGUF):
        await make(library, "new", files={"x.gguf": license_digest})
    assert await library.has_blob(license_digest)


async def test_a_thousand_mutated_files(library: Library, models: Path, tiny: bytes, tmp_path: Path) -> None:
    """Each becomes a model or a 400; what was refused leaves nothing behind."""
    rng, header = random.Random(7), read_header(tmp_path / "tiny.gguf").data_offset
    accepted = 0
    for _ in range(1000):
        mutant = bytearray(tiny)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(header)
            mutant[place : place + 4] = rng.choice((rng.randbytes(4), b"\xff" * 4, bytes(4)))
        digest = await upload(library, bytes(mutant))
        with contextlib.suppress(BadRequest):
            await make(library, "mutant", files={"x.gguf": digest})
            accepted += 1
            await library.delete("mutant")
        assert files(models) == set()
    assert 0 < accepted < 900


async def test_the_probe_has_the_last_word(models: Path, tiny: bytes) -> None:
    seen: list[Path] = []

    def probe(path: Path, shards: tuple[Path, ...] = (), adapters: tuple[Path, ...] = ()) -> None:
        seen.append(path)
        raise ModelLoadError("it died")

    library = Library(Store(models), Settings(models=models), probe=probe)
    with pytest.raises(InvalidGGUF, match="it died"):  # the request's fault here: 400, not 500
        await make(library, "m", tiny)
    assert [path.name for path in seen] == [f"sha256-{Digest.of(tiny).hex}"]
    assert files(models) == set()


async def test_a_failing_disk_leaves_no_half_model(
    library: Library, models: Path, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", str(models / "manifests"))

    digest = await upload(library, tiny)
    monkeypatch.setattr(library.store.manifests, "put", fail)
    with pytest.raises(OllamaJupyterError) as caught:
        await make(library, "m", files={"x.gguf": digest}, system="lost")
    assert caught.value.message == "the model store failed: No space left on device"
    assert files(models) == {f"blobs/sha256-{digest[7:]}"}


async def test_a_listener_that_leaves_ends_the_work() -> None:
    ended = threading.Event()

    def work(report: Report) -> None:
        try:
            while not ended.wait(0.001):
                report(Progress("tick"))
        except Canceled:
            ended.set()
            raise

    progress = stream(work)
    assert (await anext(progress)).status == "tick"
    await progress.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(ended.wait, 10)


async def test_creates_that_wait_for_their_probe_hold_nobody_else(models: Path, tiny: bytes) -> None:
    """A probe may itself need the loop's own threads, of which there are few."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def probe(path: Path, shards: tuple[Path, ...] = (), adapters: tuple[Path, ...] = ()) -> None:
        begun.release()
        assert go_on.wait(30)

    library = Library(Store(models), Settings(models=models), probe=probe)
    digest = await upload(library, tiny)
    request = {"files": {"x.gguf": digest}}
    creates = [asyncio.ensure_future(make(library, f"m{i}", **request)) for i in range(40)]
    try:
        assert await asyncio.to_thread(begun.acquire, timeout=10)
        assert await asyncio.wait_for(library.tags(), 10) == []
        assert await asyncio.wait_for(upload(library, b"meanwhile"), 10)
    finally:
        go_on.set()
        await asyncio.gather(*creates)
    assert len(await library.tags()) == 40


async def test_a_create_that_nobody_waits_for_does_not_begin() -> None:
    go_on, ran = threading.Event(), []
    busy = [asyncio.ensure_future(statuses(stream(lambda report: assert_set(go_on)))) for _ in range(8)]
    await asyncio.sleep(0)
    late = asyncio.ensure_future(statuses(stream(lambda report: ran.append(1))))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.wait([late])
    go_on.set()
    await asyncio.gather(*busy)
    await statuses(stream(lambda report: None))
    assert ran == []


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {"x": nested(900)}},
        {"messages": (Message("assistant", tool_calls=(ToolCall("f", nested(900)),)),)},
    ],
    ids=["parameters", "messages"],
)
async def test_what_is_nested_too_deeply_is_refused(library: Library, tiny: bytes, fields: Any) -> None:
    with pytest.raises(BadRequest, match="nested too deeply"):
        await make(library, "deep", tiny, **fields)


@pytest.mark.parametrize(
    ("value", "listed"),
    [("tools", ()), ({"a": 1}, ()), ([1, ["x"], {}, None, "tools"], ("tools",)), ([nested(900)], ())],
    ids=["text", "object", "mixed", "deep"],
)
async def test_a_strange_config_is_read_with_care(
    library: Library, models: Path, tiny: bytes, value: object, listed: tuple[str, ...]
) -> None:
    await make(library, "m", tiny)
    manifest = manifest_of(models, "m")
    strange = {"capabilities": value, "model_family": nested(900), "renderer": value, "requires": nested(900)}
    manifest["config"]["digest"] = str(library.store.blobs.put_bytes(json.dumps(strange).encode()))
    ModelName.parse("m").manifest_path(models).write_text(json.dumps(manifest))
    assert (await library.resolve("m")).configured_capabilities == listed
    assert set((await library.show("m")).capabilities) == {"completion", *listed}
    assert [set(row.capabilities) for row in await library.tags()] == [{"completion", *listed}]
    await make(library, "copy", from_="m")
    assert (await library.resolve("copy")).configured_capabilities == listed


# ---- tags and show ------------------------------------------------------------------------------------------------


async def test_tags(library: Library, models: Path, tiny: bytes) -> None:
    assert await library.tags() == []
    for i, name in enumerate(("old", "new", "middle")):
        await make(library, name, tiny, system=name)
        os.utime(ModelName.parse(name).manifest_path(models), (1000 + 10 * (i * 2 % 3),) * 2)
    rows = await library.tags()
    assert [row.name for row in rows] == ["new:latest", "middle:latest", "old:latest"]
    row, manifest = rows[0], manifest_of(models, "new")
    assert row.digest == Digest.of(ModelName.parse("new").manifest_path(models).read_bytes()).hex
    assert row.size == manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])
    assert row.modified_at == 1020
    assert (row.details.family, row.details.families, row.details.format) == ("llama", ("llama",), "gguf")
    assert (row.details.parameter_size, row.details.quantization_level) == ("29K", "F32")
    assert (row.details.context_length, row.details.embedding_length) == (512, 32)
    assert row.capabilities == ("completion",)


async def test_open_takes_the_folder_of_the_settings(models: Path, tiny: bytes) -> None:
    await make(Library.open(Settings(models=models)), "m", tiny)
    assert ModelName.parse("m").manifest_path(models).exists()


async def test_tags_lists_what_it_cannot_fully_read(library: Library, models: Path, tiny: bytes) -> None:
    await make(library, "broken", tiny)
    await make(library, "whole", minimal_gguf())
    Digest.of(tiny).blob_path(models).unlink()
    corrupt = ModelName.parse("corrupt").manifest_path(models)
    corrupt.parent.mkdir()
    corrupt.write_text("{")
    assert sorted(row.name for row in await library.tags()) == ["broken:latest", "whole:latest"]


async def test_show(library: Library, models: Path, tiny: bytes) -> None:
    await make(
        library,
        "m",
        tiny,
        template=GO,
        system="Say\nlittle.",
        license=("MIT", "more"),
        parameters={"stop": ["<|a|>", "b\n"], "temperature": 0.5, "num_ctx": 2_000_000},
        messages=(Message("user", "hi"),),
        requires="0.14.0",
    )
    shown = await library.show("M")
    assert shown.parameters.splitlines() == [
        "num_ctx                        2e+06",
        'stop                           "<|a|>"',
        'stop                           "b\\n"',
        "temperature                    0.5",
    ]
    assert shown.modelfile == (
        '# Modelfile generated by "ollama show"\n'
        "# To build a new Modelfile based on this, replace FROM with:\n"
        "# FROM m:latest\n\n"
        f"FROM {Digest.of(tiny).blob_path(models)}\n"
        f"TEMPLATE {GO}\n"
        'SYSTEM "Say\nlittle."\n'
        "PARAMETER num_ctx 2e+06\n"
        "PARAMETER stop <|a|>\n"
        'PARAMETER stop "b\n"\n'
        "PARAMETER temperature 0.5\n"
        "LICENSE MIT\n"
        "LICENSE more\n"
        "MESSAGE user hi\n"
    )
    assert (shown.license, shown.template, shown.system) == ("MIT\nmore", GO, "Say\nlittle.")
    assert (shown.messages, shown.requires) == ((Message("user", "hi"),), "0.14.0")
    assert (shown.details.parent_model, shown.capabilities) == ("tiny.gguf", ("completion",))
    assert list(shown.model_info) == sorted(shown.model_info)
    assert not {"general.name", "tokenizer.chat_template"} & set(shown.model_info)
    assert shown.model_info["general.parameter_count"] == 28608
    assert shown.model_info["llama.attention.layer_norm_rms_epsilon"] == 1e-05
    assert shown.model_info["tokenizer.ggml.tokens"] is None
    assert shown.tensors[0].shape == (32, 313)
    verbose = await library.show("m", verbose=True)
    assert verbose.model_info["tokenizer.ggml.tokens"][:2] == ["<unk>", "<s>"]
    assert verbose.model_info["tokenizer.ggml.scores"][4] == -1.0


async def test_show_of_a_model_with_nothing_but_weights(library: Library, tiny: bytes) -> None:
    await make(library, "m", tiny)
    shown = await library.show("m")
    assert shown.template == CHAT_TEMPLATE
    assert "\nTEMPLATE {{ .Prompt }}\n" in shown.modelfile
    assert (shown.parameters, shown.license, shown.system, shown.messages) == ("", "", "", ())


async def test_show_lays_the_request_over_the_modelfile(library: Library, tiny: bytes) -> None:
    await make(library, "m", tiny, system="old", parameters={"top_k": 1})
    shown = await library.show("m", system="new", options={"top_k": 2, "seed": 3})
    assert shown.system == "new"
    assert "SYSTEM new\nPARAMETER top_k 2\nPARAMETER seed 3\n" in shown.modelfile
    assert shown.parameters == "top_k                          1"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", BadRequest, "model is required"),
        ("a/b/c/d", InvalidName, "invalid model name"),
        ("absent", ModelNotFound, "model 'absent:latest' not found"),
    ],
)
async def test_show_refusals(library: Library, name: str, error: type[OllamaJupyterError], message: str) -> None:
    with pytest.raises(error) as caught:
        await library.show(name)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1K"), (1001, "1K"), (10**6, "1M"), (125_000_000, "125M"), (500_500_000, "500.50M"),
     (500_550_000, "500.55M"), (134_515_008, "134.52M"), (10**9, "1B"), (2_800_000_000, "2.8B"), (10**12, "1000B")],
)  # fmt: skip
def test_human_numbers(count: int, text: str) -> None:
    assert human_number(count) == text


# ---- copy, delete, blobs ------------------------------------------------------------------------------------------


async def test_copy(library: Library, models: Path, tiny: bytes) -> None:
    await make(library, "Source", tiny, system="one")
    await make(library, "target", tiny, system="two")
    await library.copy("source", "TARGET")
    await library.copy("source", "Source")
    assert manifest_of(models, "target") == manifest_of(models, "Source")
    assert not Digest.of(b"two").blob_path(models).exists()
    await library.copy("source", "example.com:80/ns/far:away")
    assert (await library.resolve("example.com:80/ns/far:away")).system == "one"


@pytest.mark.parametrize(
    ("source", "destination", "error", "message"),
    [
        ("", "b", InvalidName, 'source "" is invalid'),
        ("a/b/c/d", "b", InvalidName, 'source "a/b/c/d" is invalid'),
        ("m", "-b", InvalidName, 'destination "-b" is invalid'),
        ("absent", "b", ModelNotFound, 'model "absent" not found'),
        ("../../etc/passwd", "b", InvalidName, 'source "../../etc/passwd" is invalid'),
    ],
)
async def test_copy_refusals(
    library: Library, source: str, destination: str, error: type[OllamaJupyterError], message: str
) -> None:
    with pytest.raises(error) as caught:
        await library.copy(source, destination)
    assert caught.value.message == message


async def test_delete(library: Library, models: Path, tiny: bytes) -> None:
    await make(library, "m", tiny, system="own")
    await library.copy("m", "other")
    await library.delete("M")
    assert (await library.resolve("other")).system == "own"
    await library.delete("other:latest")
    assert files(models) == set()
    assert await library.tags() == []
    with pytest.raises(ModelNotFound, match="model 'm' not found"):
        await library.delete("m")


async def test_delete_of_a_corrupt_manifest(library: Library, models: Path, tiny: bytes) -> None:
    await make(library, "m", tiny)
    ModelName.parse("m").manifest_path(models).write_text("{")
    await library.delete("m")
    assert not ModelName.parse("m").manifest_path(models).exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "model is required"), ("a/b/c/d", 'name "a/b/c/d" is invalid'), ("é", 'name "é" is invalid')],
)
async def test_delete_refusals(library: Library, name: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await library.delete(name)
    assert caught.value.message == message


async def test_blobs(library: Library, models: Path) -> None:
    digest = Digest.of(b"abc")
    assert not await library.has_blob(str(digest))
    spelled = f"sha256-{digest.hex.upper()}"  # Ollama would call this a mismatch after the upload
    async with library.blob_writer(spelled) as blob:
        await blob.write(b"abc")
        await blob.commit()
    assert await library.has_blob(spelled)
    for text in ("sha256:abc", "", f"{digest}0"):
        with pytest.raises(InvalidDigest):
            await library.has_blob(text)
        with pytest.raises(InvalidDigest):
            library.blob_writer(text)
    async with library.blob_writer(D) as blob:
        await blob.write(b"abd")
        with pytest.raises(BadRequest, match=f'digest mismatch, expected "{D}", got "sha256:'):
            await blob.commit()
    async with library.blob_writer(D) as blob:
        await blob.write(b"given up")
    assert files(models) == {f"blobs/sha256-{digest.hex}"}


async def test_a_canceled_upload_leaves_nothing(library: Library, models: Path) -> None:
    started = asyncio.Event()

    async def send() -> None:
        async with library.blob_writer(D) as blob:
            await blob.write(b"half")
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(send())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(models) == set()


async def test_removing_a_part_does_not_hold_the_loop_and_survives_cancellation(
    library: Library, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On some file systems it takes seconds to remove gigabytes."""
    removing, go_on, removed = threading.Event(), threading.Event(), threading.Event()
    abort = BlobWriter.abort

    def slow(self: BlobWriter) -> None:
        removing.set()
        assert go_on.wait(30)
        abort(self)
        removed.set()

    async def send() -> None:
        async with library.blob_writer(D) as blob:
            await blob.write(b"half")

    monkeypatch.setattr(BlobWriter, "abort", slow)
    task = asyncio.create_task(send())
    assert await asyncio.to_thread(removing.wait, 10)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    go_on.set()
    assert await asyncio.to_thread(removed.wait, 10)
    assert files(models) == set()


async def test_many_creates_at_once(library: Library, models: Path, tiny: bytes) -> None:
    digest = await upload(library, tiny)
    names = [f"m{i % 4}" for i in range(16)]
    await asyncio.gather(
        *(make(library, name, files={"x.gguf": digest}, system=f"s{i}") for i, name in enumerate(names))
    )
    assert sorted(row.name for row in await library.tags()) == [f"m{i}:latest" for i in range(4)]
    for i in range(4):
        assert (await library.resolve(f"m{i}")).system.startswith("s")
    await asyncio.gather(*(library.delete(f"m{i}") for i in range(4)))
    assert files(models) == set()


# ---- the embedded default -----------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the package: a folder with a model file, without a record of its digest."""
    folder = tmp_path / "package"
    folder.mkdir()
    path = write_tiny_gguf(folder / "Tiny.gguf", seed=5)
    monkeypatch.setattr(embedded, "package_folders", lambda: (folder,))
    monkeypatch.setattr(embedded, "recorded_digest", lambda file: None)
    return path


async def test_an_empty_store_offers_the_default(package: Path, models: Path) -> None:
    library = Library(Store(models), Settings(models=models))
    (offer,) = await library.tags()
    assert (offer.name, offer.modified_at) == (DEFAULT_MODEL, package.stat().st_mtime)
    assert files(models) == set()
    before = package.stat()
    model = await library.resolve("SmolLM2:135M")
    after = package.stat()
    assert model.name.display == DEFAULT_MODEL
    assert (model.params, model.template) == ({"num_predict": 1024, "stop": ["<|im_start|>", "<|im_end|>"]}, None)
    assert "Apache" in model.licenses[0]
    assert (after.st_nlink, model.weights.stat().st_ino) == (before.st_nlink + 1, before.st_ino)
    assert (after.st_mtime_ns, after.st_mode, after.st_uid) == (before.st_mtime_ns, before.st_mode, before.st_uid)
    (row,) = await library.tags()
    assert replace(row, modified_at=offer.modified_at) == offer


async def test_it_is_importable_beside_others(package: Path, models: Path, tiny: bytes) -> None:
    library = Library(Store(models), Settings(models=models))
    await make(library, "m", tiny)
    assert [row.name for row in await library.tags()] == ["m:latest"]
    assert (await library.show(DEFAULT_MODEL)).details.family == "llama"
    assert {row.name for row in await library.tags()} == {"m:latest", DEFAULT_MODEL}


async def test_create_and_copy_from_it(package: Path, models: Path) -> None:
    library = Library(Store(models), Settings(models=models))
    lines = await make(library, "mine", from_=DEFAULT_MODEL, system="x")
    assert lines[0] == f"importing {DEFAULT_MODEL}"
    assert lines[-2:] == ["writing manifest", "success"]
    await library.delete(DEFAULT_MODEL)
    await library.copy(DEFAULT_MODEL, "copy")
    assert {row.name for row in await library.tags()} == {"mine:latest", "copy:latest", DEFAULT_MODEL}


async def test_import_with_progress(package: Path, models: Path, caplog: pytest.LogCaptureFixture) -> None:
    library = Library(Store(models), Settings(models=models))
    with caplog.at_level(logging.INFO, "ollama_jupyter"):
        lines = [line async for line in library.import_default()]
    size = package.stat().st_size
    assert lines[0] == Progress(f"importing {DEFAULT_MODEL}", str(Digest.of(package.read_bytes())), size, size)
    assert "100 %" in caplog.text
    assert [line async for line in library.import_default()] == []


async def test_many_askers_import_it_once(package: Path, models: Path, caplog: pytest.LogCaptureFixture) -> None:
    library = Library(Store(models), Settings(models=models))
    with caplog.at_level(logging.INFO, "ollama_jupyter"):
        found = await asyncio.gather(*(library.resolve(DEFAULT_MODEL) for _ in range(8)))
    assert len({model.digest for model in found}) == 1
    assert caplog.text.count("imported ") == 1


async def test_it_cannot_be_deleted_while_it_is_only_offered(package: Path, models: Path) -> None:
    library = Library(Store(models), Settings(models=models))
    with pytest.raises(BadRequest, match="uninstall"):
        await library.delete(DEFAULT_MODEL)


@pytest.mark.parametrize("damage", ["missing", "changed", "truncated"])
async def test_a_damaged_package_says_so(
    package: Path, models: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Digest.of(package.read_bytes())
    monkeypatch.setattr(embedded, "recorded_digest", lambda file: recorded)
    data = package.read_bytes()
    if damage == "missing":
        package.unlink()
    else:
        package.write_bytes(data[:-1] + b"\1" if damage == "changed" else data[:2000])
    library = Library(Store(models), Settings(models=models))
    await library.tags()  # never fails
    with pytest.raises(ModelLoadError, match="missing or damaged: reinstall it with `pip install"):
        await library.resolve(DEFAULT_MODEL)
    assert files(models) == set()


async def test_without_the_package_there_is_no_default(library: Library) -> None:
    assert await library.tags() == []
    with pytest.raises(ModelNotFound, match=f"model '{DEFAULT_MODEL}' not found"):
        await library.resolve(DEFAULT_MODEL)


async def test_the_real_package(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    spec = importlib.util.find_spec(embedded.PACKAGE)
    assert spec is not None, "the extra [test] installs it"
    library = Library(Store(models), Settings(models=models))
    (offer,) = await library.tags()
    assert (offer.details.parameter_size, offer.details.quantization_level) == ("134.52M", "Q4_1")
    assert (offer.details.context_length, offer.size > 98_000_000) == (8192, True)
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")  # type: ignore[index]
    before = file.stat()
    model = await library.resolve(DEFAULT_MODEL)
    after = file.stat()
    assert (model.bos, model.eos, model.digest) == ("<|im_start|>", "<|im_end|>", offer.digest)
    assert model.weights_digest == embedded.recorded_digest(file)
    assert (after.st_mtime_ns, after.st_mode, after.st_size) == (before.st_mtime_ns, before.st_mode, before.st_size)
