"""What create refuses, and that it says what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from creating import blob_of, config_of, files, layer, make, manifest_of, roles, upload, uploads
from models import write_tiny_gguf

from ollama_jupyter.config import Settings
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.library import Library
from ollama_jupyter.messages import CreateRequest, Message
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.workspace import workspace

PICKLE = b"\x80\x02}q\x00."


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.bin", b"lmgg\1\0\0\0", ("old GGML format", "convert_llama_ggml_to_gguf.py")),
        ("m.bin", b"fmgg\1\0\0\0", ("old GGMF format", "convert_llama_ggml_to_gguf.py")),
        ("m.gguf", b"tjgg\3\0\0\0", ("old GGJT format", "convert_llama_ggml_to_gguf.py")),
        ("m", b"ggjt\0\0\0\3", ("old GGJT format", "GGUF")),
        ("a.bin", b"algg\1\0\0\0", ("old GGLA format", "convert_lora_to_gguf.py")),
        ("a.bin", b"ggla\0\0\0\1", ("old GGLA format",)),
        ("pytorch_model.bin", b"PK\x03\x04" + bytes(60), ("pickle", "safetensors", "save_pretrained")),
        ("consolidated.00.pth", PICKLE, ("pickle", "safetensors")),
        ("m.gguf", PICKLE, ("supplied file was not in GGUF format",)),
        ("m.dat", b"some text", ("unknown type",)),
        ("m.bin", b"", ("unknown type",)),
        ("m.gguf", b"FUGG\0\0\0\3", ("supplied file was not in GGUF format",)),
    ],
)
async def test_files_of_other_kinds(
    library: Library, models: Path, name: str, data: bytes, words: tuple[str, ...]
) -> None:
    given = await uploads(library, {name: data, "config.json": b"{}"})
    with pytest.raises(BadRequest) as caught:
        await anext(library.create(CreateRequest("m", files=given)))
    for word in words:
        assert word in caught.value.message
    assert caught.value.status == 400
    assert not await library.has_blob(given[name])


async def test_only_side_files(library: Library) -> None:
    with pytest.raises(BadRequest, match=r"^unknown type$"):
        await make(library, "m", files=await uploads(library, {"config.json": b"{}"}))


async def test_side_files_of_a_gguf_are_left_alone(library: Library, models: Path, tiny: bytes) -> None:
    data = {"m.gguf": tiny, "config.json": b"{}", "README.md": b"x", "chat_template.jinja": b"y"}
    assert (await make(library, "m", files=await uploads(library, data))).count("parsing GGUF") == 1
    assert roles(models, "m") == ["model"]


async def test_two_models(library: Library, tiny: bytes, tmp_path: Path) -> None:
    other = write_tiny_gguf(tmp_path / "o.gguf", seed=1).read_bytes()
    with pytest.raises(BadRequest, match="hold more than one model"):
        await make(library, "m", files=await uploads(library, {"a.gguf": tiny, "b.gguf": other}))


@pytest.mark.parametrize(
    ("field", "path"),
    [
        (field, path)
        for field in ("files", "adapters", "draft_files")
        for path in ("a//b", "./a", "a/", "a/../b", "a\0b", "x" * 256)
    ],
)
async def test_paths(library: Library, tiny: bytes, field: str, path: str) -> None:
    digest = await upload(library, tiny)
    fields: dict[str, Any] = {"files": {"m.gguf": digest}} | {field: {path: digest}}
    with pytest.raises(BadRequest, match=r"^file path must be relative$"):
        await make(library, "m", **fields)


async def test_a_long_path(library: Library, tiny: bytes) -> None:
    files = {"model.safetensors": await upload(library, tiny), "/".join(["x" * 200] * 6): await upload(library, b"{}")}
    with pytest.raises(BadRequest, match="at most 1024 bytes long"):
        await make(library, "m", files=files)


async def test_too_many_files(library: Library, tiny: bytes) -> None:
    digest = await upload(library, tiny)
    with pytest.raises(BadRequest, match="1025 files, at most 1024"):
        await make(library, "m", files={f"{i}.gguf": digest for i in range(1025)})


async def test_remote_models(library: Library) -> None:
    with pytest.raises(BadRequest, match=r"^bad remote: "):
        await make(library, "m", from_="x", remote_host="https://example.com")


async def test_every_key_of_a_config_in_its_place(library: Library, models: Path, tiny: bytes, tmp_path: Path) -> None:
    draft = write_tiny_gguf(tmp_path / "d.gguf", seed=1).read_bytes()
    info = {"base_name": "<b>", "context_length": 5, "embedding_length": 6, "capabilities": ["tools"]}
    fields: dict[str, Any] = {"renderer": "r", "parser": "p", "requires": "0.14.0"}
    await make(library, "m", tiny, info=info, draft_files=await uploads(library, {"d.gguf": draft}), **fields)
    assert blob_of(models, manifest_of(models, "m")["config"]).decode() == (
        '{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"29K",'
        '"file_type":"F32","renderer":"r","parser":"p","requires":"0.14.0","capabilities":["tools"],'
        '"context_length":5,"embedding_length":6,"base_name":"\\u003cb\\u003e",'
        '"draft":{"model_format":"gguf","architecture":"llama"},"architecture":"amd64","os":"linux"}\n'
    )


async def test_info(library: Library, models: Path, tiny: bytes) -> None:
    info = {
        "capabilities": ["vision"], "model_family": "fancy", "base_name": "base", "quantization_level": "Q?",
        "parameter_size": "7B", "context_length": 5.0, "embedding_length": 6, "other": object(),
    }  # fmt: skip
    await make(library, "m", tiny, info=info)
    assert config_of(models, "m") == {
        "model_format": "gguf", "model_family": "fancy", "model_families": ["fancy", "llama"], "model_type": "7B",
        "file_type": "Q?", "capabilities": ["vision"], "context_length": 5, "embedding_length": 6,
        "base_name": "base", "architecture": "amd64", "os": "linux",
    }  # fmt: skip
    await make(library, "child", from_="m", info={"capabilities": ["tools"]})
    assert config_of(models, "child")["capabilities"] == ["vision", "tools"]


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"model_family": 1}, 'info field "model_family" must be a string'),
        ({"base_name": None}, 'info field "base_name" must be a string'),
        ({"context_length": "4096"}, 'info field "context_length" must be a number'),
        ({"context_length": True}, 'info field "context_length" must be a number'),
        ({"embedding_length": -1}, 'info field "embedding_length" must be a non-negative integer'),
        ({"embedding_length": 1.5}, 'info field "embedding_length" must be a non-negative integer'),
        ({"embedding_length": float("nan")}, 'info field "embedding_length" must be a non-negative integer'),
        ({"capabilities": "vision"}, 'info field "capabilities" must be an array of strings'),
        ({"capabilities": [1]}, 'info field "capabilities" must be an array of strings'),
    ],
)
async def test_wrong_info(library: Library, tiny: bytes, info: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await make(library, "m", tiny, info=info)
    assert caught.value.message == message


async def test_onto_a_corrupt_name(library: Library, models: Path, tiny: bytes) -> None:
    """The list goes on without it, and a create mends it."""
    await make(library, "m", tiny)
    await make(library, "whole", tiny)
    ModelName.parse("m").manifest_path(models).write_text("{")
    assert [row.name for row in await library.tags()] == ["whole:latest"]
    await make(library, "m", tiny, messages=(Message("user", "hi"),))
    assert {row.name for row in await library.tags()} == {"m:latest", "whole:latest"}


async def test_a_draft_is_kept_and_replaced(library: Library, models: Path, tiny: bytes, tmp_path: Path) -> None:
    one, two = (write_tiny_gguf(tmp_path / f"{i}.gguf", seed=i).read_bytes() for i in (1, 2))
    await make(library, "m", tiny, draft_files=await uploads(library, {"d.gguf": one}))
    await make(library, "child", from_="m", system="x")
    assert roles(models, "child") == ["model", "draft", "system"]
    assert config_of(models, "child")["draft"] == {"model_format": "gguf", "architecture": "llama"}
    await make(library, "other", from_="m", draft_files=await uploads(library, {"e.gguf": two}))
    assert roles(models, "other") == ["model", "draft"]
    assert (await library.resolve("other")).drafts != (await library.resolve("m")).drafts
    assert "\nDRAFT /" in (await library.show("other")).modelfile


@pytest.mark.parametrize("role", ["system", "params"])
async def test_what_is_deleted_meanwhile_is_said_to_be(library: Library, models: Path, tiny: bytes, role: str) -> None:
    """By somebody who deletes the source while it is being quantized. The file was there: it is not to be uploaded."""
    await make(library, "base", tiny, system="Be brief.", parameters={"seed": 1})
    digest = layer(models, "base", role)["digest"]

    def delete(*_: object, **__: object) -> None:
        Digest.parse(digest).blob_path(models).unlink()

    other = Library(library.store, Settings(models=models), delete)
    with pytest.raises(BadRequest, match=r"blob .*was deleted meanwhile, with another model: try again"):
        await make(other, "m", from_="base", quantize="Q8_0")
    assert not ModelName.parse("m").manifest_path(models).exists()


def test_a_workspace_is_swept_only_when_it_was_left(library: Library, models: Path) -> None:
    import os

    store = library.store
    with workspace(models, store.blobs) as space:
        (space.folder / "half").write_bytes(b"x")
        os.utime(space.folder, (1, 1))
        assert store.blobs.sweep() == 0
        assert (space.folder / "half").exists()
    assert not space.folder.exists()
    left = models / "partial" / "tmp-left"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    assert store.blobs.sweep() == 0  # it may just be in the making
    os.utime(left, (1, 1))
    assert store.blobs.sweep() == 1
    assert files(models) == set()
