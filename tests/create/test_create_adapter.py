"""LoRA adapters: stored beside the weights, and heard in what the model says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from creating import contents, files, layer, make, roles, upload, uploads
from models import gguf_bytes, gguf_tensor, gguf_value, minimal_gguf, write_tiny_gguf, write_tiny_lora

from ollama_jupyter.engine.backend import Outcome, Span
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.llama import LlamaBackend
from ollama_jupyter.engine.sampling import sampler_steps
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.library import Library
from ollama_jupyter.messages import Options

RANK, ALPHA = 2, 4.0
SHAPES = {"blk.0.attn_q.weight": (32, 32), "blk.1.ffn_down.weight": (32, 64), "blk.1.attn_v.weight": (16, 32)}


def matrices() -> dict[str, tuple[Any, Any]]:
    """A (rank x in) and B (out x rank) for some tensors."""
    rng = np.random.default_rng(3)
    return {
        name: (
            rng.normal(0, 0.5, (RANK, width)).astype(np.float32),
            rng.normal(0, 0.5, (height, RANK)).astype(np.float32),
        )
        for name, (height, width) in SHAPES.items()
    }


@pytest.fixture
def lora(tmp_path: Path) -> bytes:
    return write_tiny_lora(tmp_path / "lora.gguf", matrices(), alpha=ALPHA).read_bytes()


def greedy(params: EngineParams, count: int = 12) -> list[int]:
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


def engine(path: Path, *adapters: Path) -> EngineParams:
    return EngineParams(str(path), 64, 1, threads=1, adapters=tuple(map(str, adapters)))


async def test_it_says_what_merged_weights_say(library: Library, models: Path, lora: bytes, tmp_path: Path) -> None:
    base = write_tiny_gguf(tmp_path / "base.gguf")
    deltas = {name: ALPHA / RANK * (b @ a) for name, (a, b) in matrices().items()}
    merged = write_tiny_gguf(tmp_path / "merged.gguf", deltas=deltas)
    lines = await make(library, "m", base.read_bytes(), adapters={"lora.gguf": await upload(library, lora)})
    assert lines[:2] == ["parsing GGUF"] * 2
    assert roles(models, "m") == ["model", "adapter"]
    assert layer(models, "m", "adapter")["from"] == "lora.gguf"
    model = await library.resolve("m")
    said = greedy(engine(model.weights, *model.adapters))
    assert said == greedy(engine(merged))
    assert said != greedy(engine(base))
    assert "\nADAPTER /" in (await library.show("m")).modelfile


async def test_on_a_stored_model(library: Library, models: Path, tiny: bytes, lora: bytes) -> None:
    await make(library, "base", tiny, system="Be brief.")
    given = await uploads(library, {"lora.gguf": lora})
    assert (await make(library, "m", from_="base", adapters=given))[0] == "parsing GGUF"
    assert roles(models, "m") == ["model", "system", "adapter"]
    assert dict(contents(models, "m"))["adapter"] == lora
    await make(library, "child", from_="m", system="Be long.")
    assert roles(models, "child") == ["model", "adapter", "system"]
    with pytest.raises(BadRequest, match=r"^only one adapter is currently supported$"):
        await make(library, "two", from_="m", adapters=given)


async def test_beside_quantized_weights(library: Library, models: Path, tiny: bytes, lora: bytes) -> None:
    given = await uploads(library, {"lora.gguf": lora})
    await make(library, "m", tiny, adapters=given, quantize="F16")
    assert roles(models, "m") == ["model", "adapter"]
    assert (await library.resolve("m")).gguf.file_type == "F16"


def other_architecture(folder: Path) -> bytes:
    return write_tiny_lora(folder / "x", matrices(), metadata={"general.architecture": "qwen2"}).read_bytes()


def other_kind(folder: Path) -> bytes:
    return write_tiny_lora(folder / "x", matrices(), metadata={"adapter.type": "loha"}).read_bytes()


def other_shape(folder: Path) -> bytes:
    narrow = {"blk.0.attn_q.weight": (np.zeros((2, 16), np.float32), np.zeros((32, 2), np.float32))}
    return write_tiny_lora(folder / "x", narrow).read_bytes()


def other_tensors(folder: Path) -> bytes:
    return write_tiny_lora(folder / "x", {"blk.7.attn_q.weight": matrices()["blk.0.attn_q.weight"]}).read_bytes()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda _: minimal_gguf(), "a.gguf is a GGUF model, and no adapter"),
        (other_architecture, "the adapter is for models of the architecture qwen2, the base model is llama"),
        (other_kind, "only LoRA adapters are supported"),
        (other_shape, "llama.cpp cannot load the model's adapter: it does not fit this model"),
        (other_tensors, "llama.cpp cannot load the model's adapter: it does not fit this model"),
        (lambda _: b"tjgg" + bytes(60), "supplied"),
    ],
    ids=["a model", "architecture", "kind", "shape", "tensors", "legacy"],
)
async def test_what_does_not_fit_is_refused_and_removed(
    library: Library, models: Path, tiny: bytes, tmp_path: Path, write: Any, message: str
) -> None:
    await make(library, "base", tiny)
    before = files(models)
    digest = await upload(library, write(tmp_path))
    with pytest.raises(BadRequest) as caught:
        await make(library, "m", from_="base", adapters={"a.gguf": digest})
    assert caught.value.message.startswith(message) or "GGJT" in caught.value.message
    assert {name for name in files(models) if not name.startswith("probes")} == {
        name for name in before if not name.startswith("probes")
    }


async def test_only_one(library: Library, tiny: bytes, lora: bytes) -> None:
    await make(library, "base", tiny)
    given = await uploads(library, {"a.gguf": lora, "b.gguf": lora + b"\0"})
    with pytest.raises(BadRequest, match=r"^only one adapter is currently supported$"):
        await make(library, "m", from_="base", adapters=given)
    await make(library, "beside", from_="base", adapters=await uploads(library, {"a.gguf": lora, "a.json": b"{}"}))
    with pytest.raises(BadRequest, match=r"^unknown type$"):
        await make(library, "m", from_="base", adapters={})


async def test_a_projector_is_no_adapter(library: Library, tiny: bytes) -> None:
    clip = {"general.architecture": gguf_value("string", "clip"), "clip.has_vision_encoder": gguf_value("bool", True)}
    projector = gguf_bytes(clip, [gguf_tensor("v.weight", (32,))], data=128)
    await make(library, "base", tiny)
    for field in ("adapters", "draft_files"):
        with pytest.raises(BadRequest, match=r"^p\.gguf is a GGUF projector, and no (adapter|draft)$"):
            await make(library, "m", from_="base", **{field: await uploads(library, {"p.gguf": projector})})
