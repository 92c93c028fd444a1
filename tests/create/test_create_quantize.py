"""`quantize` and `draft_quantize`: a child process runs llama.cpp's quantizer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from creating import config_of, files, layer, make, manifest_of, real_probe, roles, upload, uploads
from llama_quantize import llama_quantize
from models import gguf_bytes, gguf_tensor, gguf_value, minimal_values, write_tiny_gguf

from ollama_jupyter.config import Settings
from ollama_jupyter.engine.quantize import ALIASES, FILE_TYPES
from ollama_jupyter.errors import BadRequest, Canceled, ModelLoadError
from ollama_jupyter.gguf import read_header
from ollama_jupyter.library import Library, child
from ollama_jupyter.library.create import create
from ollama_jupyter.messages import CreateRequest, Progress
from ollama_jupyter.names import Digest
from ollama_jupyter.store.models import Store

NO_DIGEST = "0000000000000000000"
SIZES = {"embedding": 256, "feed_forward": 256}  # k-quants take 256 numbers at a time


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("wide") / "wide.gguf", **SIZES)


def run(source: Path, target: Path, file_type: str) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    total = read_header(source).parameter_count
    arguments = {"source": [str(source)], "target": str(target), "type": file_type, "total": total}
    child.run("ollama_jupyter.engine.quantize", arguments, lambda done, total: told.append((done, total)))
    return told


@pytest.mark.needs("c++")
def test_the_bytes_are_those_of_llama_quantize(wide: Path, tmp_path: Path) -> None:
    program = llama_quantize()
    for source, file_type in ((wide, "F16"), (tmp_path / "ours-F16.gguf", "Q4_K_M"), (wide, "Q8_0")):
        ours, theirs = tmp_path / f"ours-{file_type}.gguf", tmp_path / f"theirs-{file_type}.gguf"
        told = run(source, ours, file_type)
        subprocess.run([program, source, theirs, file_type], check=True, capture_output=True)
        assert ours.read_bytes() == theirs.read_bytes()
        assert told == sorted(told)
        assert len(told) == len(read_header(source).tensors)
        assert 0 < told[-1][0] < told[-1][1]


async def test_create_with_quantize(library: Library, models: Path, wide: Path) -> None:
    digest = await upload(library, wide.read_bytes())
    request = CreateRequest("q", files={"wide.gguf": digest}, quantize="q4_k_m")
    lines = [line async for line in library.create(request)]
    new = layer(models, "q", "model")
    statuses = list(dict.fromkeys(line.status for line in lines))
    assert statuses == [
        "parsing GGUF",
        "quantizing F32 model to Q4_K_M",
        "verifying conversion",
        f"creating new layer {new['digest']}",
        "writing manifest",
        "success",
    ]
    steps = [line for line in lines if line.status.startswith("quantizing")]
    size = wide.stat().st_size
    assert {(line.digest, line.total) for line in steps} == {(NO_DIGEST, size)}
    assert [line.completed for line in steps] == sorted(line.completed for line in steps)
    assert steps[-1].completed == size
    assert "from" not in new
    assert config_of(models, "q")["file_type"] == "Q4_K_M"
    model = await library.resolve("q")
    assert model.gguf.file_type == model.details.quantization_level == "Q4_K_M"
    assert {name.split("/")[0] for name in files(models)} == {"blobs", "manifests", "probes"}


def test_every_type_that_is_offered_can_be_made(wide: Path, tmp_path: Path) -> None:
    """All in one child: most of its time is the import of llama.cpp."""
    code = (
        "import sys; from pathlib import Path; from ollama_jupyter.engine.quantize import FILE_TYPES, quantize\n"
        "source, folder = map(Path, sys.argv[1:])\n"
        "for name in FILE_TYPES: assert not quantize([source], folder / name, name, lambda *_: None), name"
    )
    subprocess.run([sys.executable, "-c", code, wide, tmp_path], check=True)
    assert {path.name: read_header(path).file_type for path in tmp_path.iterdir()} == {n: n for n in FILE_TYPES}
    assert set(ALIASES.values()) <= set(FILE_TYPES)


async def test_of_a_stored_model(library: Library, models: Path, wide: Path) -> None:
    await make(library, "base", wide.read_bytes(), system="Be brief.", license=("MIT",))
    await make(library, "half", from_="base", quantize="F16")
    assert roles(models, "half") == ["model", "system", "license"]
    assert (await library.resolve("half")).gguf.file_type == "F16"
    same = await make(library, "same", from_="base", quantize="f32")
    assert not any("quantizing" in line for line in same)
    assert layer(models, "same", "model")["digest"] == layer(models, "base", "model")["digest"]
    assert layer(models, "same", "model")["from"] == "base:latest"
    await make(library, "eighth", from_="base", quantize="Q8_0")
    with pytest.raises(BadRequest, match=r"^quantization is only supported for F16, BF16 and F32 models$"):
        await make(library, "quarter", from_="eighth", quantize="Q4_0")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quantize": "Q4_X"}, "unsupported quantization type Q4_X - supported types are F32, F16, BF16, Q4_K_S, Q4_K"),
        ({"quantize": "iq2_xxs"}, "unsupported quantization type IQ2_XXS - "),  # needs an importance matrix
        ({"draft_quantize": "Q8_0"}, "--draft-quantize requires a DRAFT model"),
        ({"draft_files": {"d": "sha256:" + "0" * 64}, "draft_quantize": "x"}, "unsupported quantization type X - "),
    ],
)
async def test_refused_at_once(library: Library, tiny: bytes, fields: dict[str, Any], message: str) -> None:
    digest = await upload(library, tiny)
    with pytest.raises(BadRequest) as caught:
        await anext(library.create(CreateRequest("m", files={"x.gguf": digest}, **fields)))
    assert caught.value.message.startswith(message)


async def test_a_model_that_llama_cpp_cannot_quantize(library: Library, models: Path) -> None:
    """The reason is llama.cpp's own, without a path; nothing is left but the upload."""
    values = {key.replace("llama.", "nosuch."): value for key, value in minimal_values().items()}
    values["general.architecture"] = gguf_value("string", "nosuch")
    digest = await upload(library, gguf_bytes(values, [gguf_tensor("token_embd.weight", (32, 4))], data=512))
    with pytest.raises(BadRequest) as caught:
        await make(library, "m", files={"x.gguf": digest}, quantize="Q8_0")
    assert caught.value.message.startswith("llama.cpp cannot quantize this model: unknown model architecture: 'nosuch'")
    assert files(models) == {f"blobs/sha256-{digest[7:]}"}


async def test_a_draft_model_is_quantized_by_itself(library: Library, models: Path, wide: Path, tiny: bytes) -> None:
    drafts = await uploads(library, {"draft.gguf": wide.read_bytes()})
    lines = await make(library, "m", tiny, draft_files=drafts, draft_quantize="Q8_0")
    assert [line for line in dict.fromkeys(lines) if "layer" not in line] == [
        "parsing GGUF", "quantizing F32 model to Q8_0", "verifying conversion", "writing manifest", "success",
    ]  # fmt: skip
    assert roles(models, "m") == ["model", "draft"]
    assert config_of(models, "m")["draft"] == {"model_format": "gguf", "architecture": "llama"}
    draft = Digest.parse(layer(models, "m", "draft")["digest"])
    assert library.store.header(draft).file_type == "Q8_0"
    with pytest.raises(BadRequest, match="draft quantization requires an unquantized draft model, got Q8_0"):
        await make(library, "n", tiny, draft_files={"d.gguf": str(draft)}, draft_quantize="F16")


async def test_leaving_ends_the_child_and_leaves_nothing(models: Path, wide: Path) -> None:
    """Whoever stops listening: the report raises, the child is ended, its file is gone."""
    library = Library(Store(models), Settings(models=models), real_probe)
    digest = await upload(library, wide.read_bytes())
    before = files(models)

    def report(progress: Progress) -> None:
        if progress.status.startswith("quantizing"):
            raise Canceled

    request = CreateRequest("m", files={"x.gguf": digest}, quantize="Q2_K")
    with pytest.raises(Canceled):
        await asyncio.to_thread(create, library.store, request, report, ensure=lambda *_: None)
    assert files(models) == before


async def test_a_refusal_of_the_result_leaves_no_blob(models: Path, wide: Path) -> None:
    tried = threading.Event()

    def probe(path: Path, shards: tuple[Path, ...] = (), adapters: tuple[Path, ...] = ()) -> None:
        tried.set()
        raise ModelLoadError("it died")

    library = Library(Store(models), Settings(models=models), probe)
    digest = await upload(library, wide.read_bytes())
    with pytest.raises(BadRequest, match="it died"):
        await make(library, "m", files={"x.gguf": digest}, quantize="Q8_0")
    assert tried.is_set()
    assert files(models) == {f"blobs/sha256-{digest[7:]}"}


async def test_an_overwritten_model_loses_its_old_weights(library: Library, models: Path, wide: Path) -> None:
    await make(library, "m", wide.read_bytes())
    old = layer(models, "m", "model")["digest"]
    await make(library, "m", from_="m", quantize="F16")
    assert not await library.has_blob(old)
    assert manifest_of(models, "m")["layers"][0]["size"] < wide.stat().st_size
