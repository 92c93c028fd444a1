"""LoRA adapters: base and adapter together give the logits of the merged weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ollama_jupyter.convert import convert_adapter
from ollama_jupyter.errors import ConversionError
from ollama_jupyter.gguf import read_header

from . import folders, vocabularies
from .reference import Array, decoder
from .running import convert, logits, same_logits

TOKENS = [int(n) for n in np.random.default_rng(5).integers(0, folders.VOCABULARY, 30)]
MODULES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
SETTINGS = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 6,
    "bias": "none",
    "target_modules": ["q_proj"],
    "use_dora": False,
}
PREFIX = "base_model.model."


class Base:
    """A model with an adapter, in folders of their own."""

    def __init__(self, folder: Path, architecture: str = "LlamaForCausalLM", kind: str = "llama") -> None:
        self.model, self.adapter, self.target = folder / "model", folder / "adapter", folder / "adapter.gguf"
        self.model.mkdir()
        self.adapter.mkdir()
        self.config = folders.decoder_config(architecture, kind, head_dim=16)
        shapes = folders.decoder_shapes(self.config)
        if kind == "qwen3":
            shapes |= {f"model.layers.{n}.self_attn.{part}_norm.weight": (16,) for n in range(2) for part in "qk"}
        self.weights = folders.random_weights(shapes)
        vocabularies.byte_level(self.model)
        self.path = convert(folders.save(self.model, self.config, self.weights))
        names = [f"model.layers.{layer}.{module}" for layer in range(2) for module in MODULES] + ["lm_head"]
        self.sides = {name: self._sides(name, number) for number, name in enumerate(names)}
        self.write()

    def _sides(self, name: str, seed: int) -> tuple[Array, Array]:
        height, width = self.weights[name + ".weight"].shape
        rng = np.random.default_rng(seed)
        return rng.normal(0, 0.1, (4, width)).astype(np.float32), rng.normal(0, 0.1, (height, 4)).astype(np.float32)

    def write(self, **settings: Any) -> None:
        (self.adapter / "adapter_config.json").write_text(json.dumps(SETTINGS | settings))
        tensors = {}
        for name, (a, b) in self.sides.items():
            tensors |= {f"{PREFIX}{name}.lora_A.weight": a, f"{PREFIX}{name}.lora_B.weight": b}
        self.save(tensors)

    def save(self, tensors: dict[str, Array]) -> None:
        folders.save_weights(self.adapter / "adapter_model.safetensors", tensors, "F32")

    def merged(self, scale: float) -> dict[str, Array]:
        changed = {
            f"{name}.weight": self.weights[f"{name}.weight"] + b @ a * scale for name, (a, b) in self.sides.items()
        }
        return self.weights | changed

    def convert(self) -> Path:
        convert_adapter(self.adapter, self.target, read_header(self.path), lambda completed, total: None)
        return self.target


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path)


@pytest.mark.parametrize(
    ("settings", "scale"), [({}, 6 / 4), ({"use_rslora": True}, 6 / math.sqrt(4))], ids=["plain", "rank-stabilised"]
)
def test_base_and_adapter_give_the_logits_of_the_merged_weights(
    base: Base, settings: dict[str, Any], scale: float
) -> None:
    base.write(**settings)
    got = logits(base.path, TOKENS, lora_path=str(base.convert()))
    same_logits(got, decoder(base.merged(scale), base.config, TOKENS))
    assert np.abs(got - decoder(base.weights, base.config, TOKENS)).max() > got.std()


def test_an_adapter_of_a_model_whose_heads_are_not_rearranged(tmp_path: Path) -> None:
    base = Base(tmp_path, "Qwen3ForCausalLM", "qwen3")
    got = logits(base.path, TOKENS, lora_path=str(base.convert()))
    same_logits(got, decoder(base.merged(6 / 4), base.config, TOKENS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "\"bias\" is 'all'; only none"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"peft_type": "LOHA"}, "peft_type"),
        ({"lora_alpha": None}, '"lora_alpha" is missing'),
        ({"lora_alpha": "x"}, "must be a number"),
    ],
)
def test_what_a_gguf_cannot_express_is_refused(base: Base, settings: dict[str, Any], message: str) -> None:
    base.write(**settings)
    with pytest.raises(ConversionError, match=message):
        base.convert()
    assert not base.target.exists()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("model.layers.0.self_attn.q_proj.lora_A.weight", (4, 64), "only one of the two"),
        ("model.layers.0.self_attn.q_proj.lora_magnitude_vector", (64,), "not of a LoRA adapter"),
        ("model.embed_tokens.lora_embedding_A", (4, 512), "not of a LoRA adapter"),
    ],
)
def test_a_tensor_without_a_place_is_refused(base: Base, name: str, shape: tuple[int, ...], message: str) -> None:
    base.save({PREFIX + name: np.zeros(shape, np.float32)})
    with pytest.raises(ConversionError, match=message):
        base.convert()


@pytest.mark.parametrize(
    ("module", "height", "width", "message"),
    [
        ("model.layers.9.self_attn.q_proj", 64, 64, "does not have"),
        ("model.layers.0.self_attn.qkv_proj", 64, 64, "cannot be converted"),
        ("model.layers.0.self_attn.q_proj", 64, 32, "does not fit the base model"),
        ("model.layers.0.self_attn.q_proj", 32, 64, "does not fit the base model"),
    ],
)
def test_an_adapter_of_another_model_is_refused(base: Base, module: str, height: int, width: int, message: str) -> None:
    sides = {"A": np.zeros((4, width), np.float32), "B": np.zeros((height, 4), np.float32)}
    base.save({f"{PREFIX}{module}.lora_{side}.weight": values for side, values in sides.items()})
    with pytest.raises(ConversionError, match=message):
        base.convert()
