"""LoRA adapters as PEFT saves them: adapter_config.json and adapter_model.safetensors.

For a matrix of the base there are two of the adapter, A and B, whose product is added. They are written as F32, as
llama.cpp's converter does: small numbers count here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families import gemma2, gemma3, llama, phi3, qwen2, qwen3
from ollama_jupyter.convert.families.decoder import Part
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.safetensors import Checkpoint, Tensor, open_checkpoint
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata, Report, file_type, write_gguf
from ollama_jupyter.errors import ConversionError
from ollama_jupyter.gguf import GGUFHeader, read_header

FILE = "adapter_config.json"

_FAMILIES: Mapping[str, tuple[Part, ...]] = {
    family.NAME: family.PARTS for family in (llama, qwen2, qwen3, gemma2, gemma3, phi3)
}
_NAME = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight\Z")
_LAYER = re.compile(r"model\.layers\.(?P<layer>\d{1,4})\.(?P<part>.+)\Z")

Pairs = dict[str, dict[str, Tensor]]


def convert_adapter(folder: Path, target: Path, base: GGUFHeader, report: Report) -> None:
    """As `ollama_jupyter.convert.convert_adapter`."""
    files = Folder(folder)
    config = Config(files.json(FILE), FILE)
    _check(config)
    parts = _FAMILIES.get(base.architecture)
    if parts is None:
        raise ConversionError(
            f'adapters for the architecture "{base.architecture}" are not supported by the importer; convert it with '
            "llama.cpp's convert_lora_to_gguf.py and use the GGUF"
        )
    plan = _plan(_pairs(open_checkpoint(files, "adapter_model")), {part.source: part for part in parts}, base)
    metadata: Metadata = {
        "general.type": "adapter",
        "general.file_type": file_type(plan),
        "adapter.type": "lora",
        "adapter.lora.alpha": _alpha(config),
    }
    try:
        write_gguf(target, base.architecture, metadata, plan, report)
        read_header(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _check(config: Config) -> None:
    """Raise ConversionError for what PEFT can do to a model beyond adding products of two matrices."""
    config.demand("peft_type", "LORA")
    config.demand("use_dora", False)
    config.demand("fan_in_fan_out", False)
    config.demand("bias", "none")
    for key in ("modules_to_save", "alpha_pattern", "trainable_token_indices", "layer_replication"):
        if config.raw(key):
            raise ConversionError(f'{FILE}: "{key}" is set, which a GGUF adapter cannot express')


def _alpha(config: Config) -> float:
    """By what the product is multiplied, times the rank, by which llama.cpp divides."""
    alpha = config.number("lora_alpha", high=1e9)
    return alpha * math.sqrt(config.integer("r", high=1 << 16)) if config.flag("use_rslora", False) else alpha


def _pairs(checkpoint: Checkpoint) -> Pairs:
    """The two sides of each module that is adapted.

    Raises:
        ConversionError: if there is a tensor that is neither, or one without the other.
    """
    pairs: Pairs = {}
    for name, tensor in checkpoint.items():
        found = _NAME.match(name)
        if found is None:
            raise ConversionError(f'tensor "{name[:80]}" is not of a LoRA adapter that a GGUF can express')
        module = found["module"].removeprefix("base_model.model.")
        pairs.setdefault(gemma3.source_name(module) or module, {})[found["side"]] = tensor
    for module, pair in pairs.items():
        if len(pair) != 2:
            raise ConversionError(f'the adapter has only one of the two matrices of "{module[:80]}"')
    if not pairs:
        raise ConversionError("the adapter holds no tensors")
    return pairs


def _plan(pairs: Pairs, parts: Mapping[str, Part], base: GGUFHeader) -> list[tuple[Weight, Tensor]]:
    shapes = {tensor.name: tensor.shape for tensor in base.tensors}
    plan = []
    for module, pair in pairs.items():
        name, heads = _target(module, parts, base)
        if len(shapes.get(name, ())) != 2:
            raise ConversionError(f'the adapter changes "{module[:80]}", which the base model does not have')
        width, height = shapes[name]
        rank = pair["A"].shape[0] if pair["A"].shape else 0
        for side, shape in (("A", (rank, width)), ("B", (height, rank))):
            turned = heads if side == "B" else 0
            weight = Weight(f"{name}.lora_{side.lower()}", module, shape, heads=turned, exact=True)
            _check_shape(weight, pair[side], rank)
            plan.append((weight, pair[side]))
    return plan


def _check_shape(weight: Weight, tensor: Tensor, rank: int) -> None:
    if tensor.shape != weight.shape or rank < 1 or (weight.heads and weight.shape[0] % (2 * weight.heads)):
        raise ConversionError(f'tensor "{tensor.name[:80]}" does not fit the base model: another model\'s adapter?')


def _target(module: str, parts: Mapping[str, Part], base: GGUFHeader) -> tuple[str, int]:
    """The base's name of a module's matrix, and how many heads its rows are where llama.cpp interleaves them."""
    if module == "lm_head":
        return "output.weight", 0
    found = _LAYER.match(module)
    part = parts.get(found["part"] + ".weight") if found else None
    if found is None or part is None:
        raise ConversionError(f'the adapter changes "{module[:80]}", which cannot be converted')
    heads = {"": 0, "q": base.head_count, "kv": base.head_count_kv}[part.heads]
    return f"blk.{int(found['layer'])}.{part.target}", heads
