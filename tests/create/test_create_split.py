"""Split models: each shard a layer of its own, loaded together without merging."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convert import folders
from convert.test_adapters import SETTINGS
from creating import config_of, contents, files, make, manifest_of, roles, uploads
from models import gguf_bytes, gguf_tensor, gguf_value, write_tiny_gguf

from ollama_jupyter.engine.backend import Outcome, Span
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.llama import LlamaBackend
from ollama_jupyter.engine.sampling import sampler_steps
from ollama_jupyter.errors import BadRequest, ModelLoadError
from ollama_jupyter.gguf import join, order, read_header
from ollama_jupyter.library import Library
from ollama_jupyter.messages import Options
from ollama_jupyter.store.manifests import Manifest
from ollama_jupyter.store.models import Model

COUNT = 3


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A tiny model of 20 tensors in three files."""
    folder = tmp_path_factory.mktemp("split")
    write_tiny_gguf(folder / "tiny.gguf", shard_tensors=7)
    found = sorted(folder.glob("tiny-0000*-of-00003.gguf"))
    assert len(found) == COUNT
    return found


def bytes_of(shards: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards}


def greedy(params: EngineParams, count: int = 12) -> list[int]:
    """Tokens that the model goes on with."""
    backend = LlamaBackend(params)
    try:
        sampler = backend.sampler(sampler_steps(Options(temperature=0), 64), ())
        tokens, at = [1, 270, 271], 0
        for _ in range(count):
            assert backend.decode([Span(0, at, tokens[at:], logits=True)]) is Outcome.OK
            at = len(tokens)
            tokens.append(backend.sample(sampler, 0))
        backend.free_sampler(sampler)
        return tokens[3:]
    finally:
        backend.close()


def params_of(model: Model) -> EngineParams:
    return EngineParams(str(model.weights), 64, 1, threads=1, shards=tuple(map(str, model.shards)))


async def test_create_and_load(library: Library, models: Path, shards: list[Path], tmp_path: Path) -> None:
    whole = write_tiny_gguf(tmp_path / "whole.gguf")
    lines = await make(library, "m", files=await uploads(library, bytes_of(shards)))
    assert lines[:COUNT] == ["parsing GGUF"] * COUNT
    entries = manifest_of(models, "m")["layers"]
    assert [entry["from"] for entry in entries] == [path.name for path in shards]
    assert [entry["size"] for entry in entries] == [path.stat().st_size for path in shards]
    assert {entry["mediaType"] for entry in entries} == {"application/vnd.ollama.image.model"}
    config, header = config_of(models, "m"), read_header(whole)
    assert (config["model_type"], config["file_type"], config["model_family"]) == ("29K", "F32", "llama")
    model = await library.resolve("m")
    assert len(model.shards) == COUNT
    assert model.shards[0] == model.weights
    assert model.gguf.parameter_count == header.parameter_count
    assert model.gguf.file_size == sum(path.stat().st_size for path in shards)
    assert model.bos == "<s>"
    assert greedy(params_of(model)) == greedy(EngineParams(str(whole), 64, 1, threads=1))


async def test_show_and_list(library: Library, shards: list[Path]) -> None:
    await make(library, "m", files=await uploads(library, bytes_of(shards)))
    (row,) = await library.tags()
    assert row.size > sum(path.stat().st_size for path in shards)
    assert (row.details.parameter_size, row.details.parent_model) == ("29K", shards[0].name)
    shown = await library.show("m")
    assert shown.model_info["general.parameter_count"] == 28608
    assert len(shown.tensors) == 20
    assert shown.modelfile.count("\nFROM /") == COUNT


async def test_names_and_order_do_not_matter(library: Library, shards: list[Path]) -> None:
    named = dict(zip(("c.gguf", "b.gguf", "a.gguf"), bytes_of(shards).values(), strict=True))
    await make(library, "m", files=await uploads(library, named))
    assert [read_header(path).split_number for path in (await library.resolve("m")).shards] == [0, 1, 2]


async def test_a_pulled_manifest_in_any_order(library: Library, models: Path, shards: list[Path]) -> None:
    await make(library, "m", files=await uploads(library, bytes_of(shards)))
    found = library.store.find((await library.resolve("m")).name)
    assert found is not None
    layers = list(found[1].layers)
    random.Random(1).shuffle(layers)
    library.store.manifests.put(found[0], Manifest.build(found[1].config, tuple(layers)))
    assert [read_header(path).split_number for path in (await library.resolve("m")).shards] == [0, 1, 2]
    library.store.manifests.put(found[0], Manifest.build(found[1].config, tuple(layers[1:])))
    with pytest.raises((BadRequest, ModelLoadError), match="is missing"):
        await library.resolve("m")
    assert [row.name for row in await library.tags()] == ["m:latest"]


async def test_from_a_split_model(library: Library, models: Path, shards: list[Path]) -> None:
    await make(library, "m", files=await uploads(library, bytes_of(shards)))
    await make(library, "child", from_="m", system="Be brief.")
    assert roles(models, "child") == ["model"] * COUNT + ["system"]
    assert contents(models, "child") == [("system", b"Be brief.")]
    assert {entry.get("from") for entry in manifest_of(models, "child")["layers"]} == {"m:latest", None}
    await make(library, "q", from_="m", quantize="F16")  # becomes one file
    assert roles(models, "q") == ["model"]
    half = await library.resolve("q")
    assert half.shards == ()
    assert half.gguf.parameter_count == 28608
    assert "split.count" not in half.gguf.metadata


async def test_an_adapter_folder_for_a_split_model(
    library: Library, models: Path, shards: list[Path], tmp_path: Path
) -> None:
    """Its tensors are looked up in all shards."""
    (tmp_path / "adapter_config.json").write_text(json.dumps(SETTINGS))
    names = [f"base_model.model.model.layers.{n}.self_attn.q_proj.lora_{side}.weight" for n in (0, 1) for side in "AB"]
    shapes = {"A": (4, 32), "B": (32, 4)}
    weights = {name: np.full(shapes[name[-8]], 0.1, np.float32) for name in names}
    folders.save_weights(tmp_path / "adapter_model.safetensors", weights, "F32")
    files = await uploads(library, {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()})
    await make(library, "m", files=await uploads(library, bytes_of(shards)), adapters=files)
    assert roles(models, "m") == ["model"] * COUNT + ["adapter"]


def changed(shards: list[Path], how: str) -> dict[str, bytes]:
    data = bytes_of(shards)
    names = list(data)
    if how == "missing":
        del data[names[1]]
    elif how == "twice":
        data["again.gguf"] = data[names[1]] + b"\0"  # another digest, the same number
    elif how == "without its first":
        del data[names[0]]
    elif how == "foreign":
        values = {
            "split.no": gguf_value("uint16", 1), "split.count": gguf_value("uint16", 3),
            "split.tensors.count": gguf_value("int32", 20),
        }  # fmt: skip
        data[names[1]] = gguf_bytes(values, [gguf_tensor("x", (32, 4))], data=512)
    return data


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "invalid GGUF: shard 2 of 3 is missing"),
        ("without its first", "invalid GGUF: shard 1 of 3 is missing"),
        ("twice", "invalid GGUF: shard 2 of 3 is there 2 times"),
        ("foreign", "invalid GGUF: its shards hold 14 tensors, where 20 are promised"),
    ],
)
async def test_what_is_no_whole_is_refused(
    library: Library, models: Path, shards: list[Path], how: str, message: str
) -> None:
    given = await uploads(library, changed(shards, how))
    with pytest.raises(BadRequest) as caught:
        await make(library, "m", files=given)
    assert caught.value.message == message
    assert not [name for name in files(models) if name.startswith(("blobs", "manifests"))]


def test_sets_that_do_not_match(shards: list[Path], tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "two.gguf", shard_tensors=12)
    others = [read_header(path) for path in sorted(tmp_path.glob("*.gguf"))]
    headers = [read_header(path) for path in shards]
    with pytest.raises(BadRequest, match="shards of different sets: one of 2 files, one of 3"):
        order([headers[0], others[1]])
    with pytest.raises(BadRequest, match="is in two shards"):
        join([headers[0], headers[0], headers[2]])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"split.no": ("uint32", 1)}, "split.no must be an uint16"),
        ({"split.tensors.count": ("uint32", 1)}, "split.tensors.count must be an int32"),
        ({"split.no": ("uint16", 3)}, "shard number 3 of 3, which are counted from 0"),
    ],
)
async def test_keys_of_a_shard(library: Library, keys: dict[str, tuple[str, Any]], message: str) -> None:
    good = {"split.no": ("uint16", 1), "split.count": ("uint16", 3), "split.tensors.count": ("int32", 2)}
    values = {key: gguf_value(*value) for key, value in (good | keys).items()}
    data = gguf_bytes(values, [gguf_tensor("x", (32, 4))], data=512)
    with pytest.raises(BadRequest) as caught:
        await make(library, "m", files=await uploads(library, {"x.gguf": data}))
    assert caught.value.message == f"invalid GGUF: {message}"
