"""Folders of safetensors: laid out from their blobs, converted by the child program, and not kept."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from convert import folders, vocabularies
from convert.test_adapters import Base
from convert.test_bert import CONFIG, shapes
from creating import config_of, contents, files, layer, make, roles, upload, uploads
from models import write_tiny_gguf

from ollama_jupyter.convert import convert_model
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.library import Library
from ollama_jupyter.messages import CreateRequest, Progress
from ollama_jupyter.names import Digest


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama as Hugging Face has it."""
    path = tmp_path_factory.mktemp("llama")
    config = folders.decoder_config("LlamaForCausalLM", "llama")
    vocabularies.byte_level(path)
    return folders.save(path, config, folders.random_weights(folders.decoder_shapes(config)))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return Base(tmp_path_factory.mktemp("base"))


def bytes_of(folder: Path, *left_out: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in left_out}


def kept(models: Path) -> set[str]:
    """What lies in the store but the probes' verdicts."""
    return {name for name in files(models) if not name.startswith("probes")}


async def test_a_folder_becomes_a_model(library: Library, models: Path, folder: Path, tmp_path: Path) -> None:
    convert_model(folder, tmp_path / "wanted.gguf", lambda *_: None)
    given = await uploads(library, bytes_of(folder))
    lines = [line async for line in library.create(CreateRequest("m", files=given, system="Be brief."))]
    statuses = list(dict.fromkeys(line.status for line in lines))
    digest = Digest.of((tmp_path / "wanted.gguf").read_bytes())
    assert statuses[:2] == ["converting model", f"creating new layer {digest}"]
    assert statuses[-2:] == ["writing manifest", "success"]
    assert all(line.digest == "" for line in lines)  # a bar of its own would share it with the quantizer's
    assert max(line.completed for line in lines) == max(line.total for line in lines) > 0
    assert layer(models, "m", "model")["digest"] == str(digest)
    assert contents(models, "m") == [("system", b"Be brief.")]
    assert config_of(models, "m")["model_family"] == "llama"
    assert config_of(models, "m")["file_type"] == "F16"
    model = await library.resolve("m")
    assert model.parent == ""
    assert model.size < 2 * model.weights.stat().st_size
    for path, source in given.items():
        assert not await library.has_blob(source), path  # nobody needs them any more
    assert len([name for name in kept(models) if name.startswith("blobs")]) == 3


async def test_what_another_model_names_stays(library: Library, models: Path, folder: Path, tiny: bytes) -> None:
    given = bytes_of(folder)
    config = given["config.json"].decode()
    await make(library, "other", tiny, license=(config,))
    await make(library, "m", files=await uploads(library, given))
    assert dict(contents(models, "other"))["license"].decode() == config


async def test_what_somebody_else_is_about_to_use_stays(library: Library, models: Path, folder: Path) -> None:
    """A second client asks for a blob, is told that it is there, and sends no other."""
    given = await uploads(library, bytes_of(folder))
    async for line in library.create(CreateRequest("m", files=given)):
        if line == Progress("converting model"):
            assert await library.has_blob(given["model.safetensors"])
    left = {name for name, digest in given.items() if Digest.parse(digest).blob_path(models).exists()}
    assert left == {"model.safetensors"}


async def test_noprune_keeps_the_sources(models: Path, folder: Path) -> None:
    from ollama_jupyter.config import Settings
    from ollama_jupyter.store.models import Store

    library = Library(Store(models), Settings(models=models, noprune=True))
    given = await uploads(library, bytes_of(folder))
    await make(library, "m", files=given)
    assert [await library.has_blob(digest) for digest in given.values()] == [True] * len(given)


async def test_converted_and_quantized(library: Library, models: Path, folder: Path) -> None:
    lines = await make(library, "m", files=await uploads(library, bytes_of(folder)), quantize="Q8_0")
    assert [line for line in dict.fromkeys(lines) if "layer" not in line] == [
        "converting model", "quantizing F16 model to Q8_0", "verifying conversion", "writing manifest", "success",
    ]  # fmt: skip
    assert config_of(models, "m")["file_type"] == "Q8_0"
    assert len([name for name in kept(models) if name.startswith("blobs")]) == 2  # not the F16 in between


async def test_an_embedding_model(library: Library, models: Path, tmp_path: Path) -> None:
    """It has no logits to sample from: the trial load must know."""
    tokenizer = vocabularies.word_pieces(tmp_path)
    config = CONFIG | {"vocab_size": tokenizer.get_vocab_size()}
    folders.save(tmp_path, config, folders.random_weights(shapes(config)))
    await make(library, "m", files=await uploads(library, bytes_of(tmp_path)))
    assert config_of(models, "m")["model_family"] == "bert"
    assert (await library.show("m")).capabilities == ("embedding",)


async def test_an_adapter_folder(library: Library, models: Path, base: Base) -> None:
    await make(library, "base", base.path.read_bytes())
    adapters = await uploads(library, bytes_of(base.adapter))
    lines = await make(library, "m", from_="base", adapters=adapters)
    assert lines[0] == "converting adapter"
    assert roles(models, "m") == ["model", "adapter"]
    adapter = library.store.header(Digest.parse(layer(models, "m", "adapter")["digest"]))
    assert (adapter.kind, adapter.architecture) == ("adapter", "llama")
    for digest in adapters.values():
        assert not await library.has_blob(digest)


async def test_both_as_folders(library: Library, models: Path, base: Base) -> None:
    given = await uploads(library, bytes_of(base.model, "converted.gguf"))
    lines = await make(library, "m", files=given, adapters=await uploads(library, bytes_of(base.adapter)))
    assert [line for line in dict.fromkeys(lines) if line.startswith("converting")] == [
        "converting model",
        "converting adapter",
    ]
    assert roles(models, "m") == ["model", "adapter"]


async def test_a_draft_folder(library: Library, models: Path, folder: Path, tiny: bytes) -> None:
    await make(library, "m", tiny, draft_files=await uploads(library, bytes_of(folder)), draft_quantize="q8_0")
    assert roles(models, "m") == ["model", "draft"]
    assert config_of(models, "m")["draft"] == {"model_format": "gguf", "architecture": "llama"}


async def test_an_adapter_for_another_model(library: Library, models: Path, base: Base, tiny: bytes) -> None:
    """The converter's reason arrives as it said it; what was uploaded is left to the next start."""
    await make(library, "base", tiny)
    before = kept(models)
    adapters = await uploads(library, bytes_of(base.adapter))
    with pytest.raises(BadRequest, match="adapter"):
        await make(library, "m", from_="base", adapters=adapters)
    assert kept(models) - before == {f"blobs/{digest.replace(':', '-')}" for digest in adapters.values()}


@pytest.mark.parametrize("cut", [4, 200, -1])
async def test_a_file_that_is_cut_is_refused_at_once(library: Library, models: Path, folder: Path, cut: int) -> None:
    data = bytes_of(folder)
    data["model.safetensors"] = data["model.safetensors"][:cut]
    given = await uploads(library, data)
    with pytest.raises(BadRequest, match=r"^model\.safetensors: ") as caught:
        await anext(library.create(CreateRequest("m", files=given)))
    assert str(models) not in caught.value.message
    assert not await library.has_blob(given["model.safetensors"])
    assert not list(models.glob("partial/tmp-*"))


async def test_what_the_converter_refuses(library: Library, models: Path, folder: Path) -> None:
    given = await uploads(library, bytes_of(folder, "config.json"))
    with pytest.raises(BadRequest, match=r"config\.json is missing") as caught:
        await make(library, "m", files=given)
    assert str(models) not in caught.value.message
    assert not list(models.glob("partial/tmp-*"))
    assert not list(models.glob("manifests/*/*/*/*"))


async def test_kinds_do_not_mix(library: Library, folder: Path, tmp_path: Path) -> None:
    data = bytes_of(folder) | {"x.gguf": write_tiny_gguf(tmp_path / "x.gguf").read_bytes()}
    with pytest.raises(BadRequest, match="cannot be mixed"):
        await make(library, "m", files=await uploads(library, data))
    data = bytes_of(folder) | {"model.bin": b"PK\x03\x04" + bytes(60)}
    with pytest.raises(BadRequest, match=r"^model\.bin is a PyTorch pickle"):
        await make(library, "m", files=await uploads(library, data))


async def test_names_that_clash(library: Library, folder: Path) -> None:
    data = bytes_of(folder) | {"config.json/x": b"{}"}
    with pytest.raises(BadRequest, match=r"^config\.json/x is both a file and a folder$"):
        await make(library, "m", files=await uploads(library, data))


async def test_a_header_that_lies(library: Library) -> None:
    """A length of the header beyond the file, and an offset beyond it: nothing is allocated for them."""
    for data in (struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2**22) + b"{}", struct.pack("<Q", 2) + b"{"):
        digest = await upload(library, data)
        with pytest.raises(BadRequest, match="not a safetensors file"):
            await make(library, "m", files={"model.safetensors": digest})
