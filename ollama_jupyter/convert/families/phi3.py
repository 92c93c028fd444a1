"""Phi 3 and 4: queries, keys and values in one tensor, gate and up in another; ropes for short and long contexts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families.decoder import (
    Part,
    common_metadata,
    original_context,
    plain_name,
    rope_kind,
    rope_metadata,
    rope_of,
    sizes_of,
    table_weights,
)
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "phi3"
DEFAULTS: Mapping[str, Any] = {}
source_name = plain_name

_LONG = ("longrope", "su")
PARTS = (
    Part("attn_norm.weight", "input_layernorm.weight", ("hidden",)),
    Part("attn_qkv.weight", "self_attn.qkv_proj.weight", ("qkv", "hidden")),
    Part("attn_output.weight", "self_attn.o_proj.weight", ("hidden", "q")),
    Part("ffn_norm.weight", "post_attention_layernorm.weight", ("hidden",)),
    Part("ffn_up.weight", "mlp.gate_up_proj.weight", ("2ff", "hidden")),
    Part("ffn_down.weight", "mlp.down_proj.weight", ("hidden", "ff")),
)


def metadata(folder: Folder, config: Config) -> Metadata:
    config.demand("hidden_act", "silu")
    keys = common_metadata(config) | rope_metadata(config, allowed=_LONG)
    keys["rope.dimension_count"] = _rotated(config)
    keys["rope.scaling.original_context_length"] = original_context(config, rope_of(config))
    # Phi 4, which slides nowhere, is told from Phi 3 by a window of 0. llama.cpp lets neither slide.
    keys["attention.sliding_window"] = config.integer("sliding_window", 0, low=0)
    if _takes_space_after(folder):
        keys["general.name"] = "Phi-3"
    if rope_kind(rope_of(config)) in _LONG:
        keys["rope.scaling.attn_factor"] = _attention_factor(config)
    return keys


def _takes_space_after(folder: Folder) -> bool:
    """Whether the special tokens swallow the space behind them, which llama.cpp goes by the model's name to know.

    It then asks for some tokens by their texts, and does not load a model that lacks one.
    """
    decoder = folder.json_or_empty("tokenizer_config.json").get("added_tokens_decoder")
    entries = [entry for entry in decoder.values() if isinstance(entry, dict)] if isinstance(decoder, dict) else []
    texts = [entry.get("content") for entry in entries]
    known = all(text in texts for text in ("<unk>", "<s>", "</s>", "<|endoftext|>"))
    return known and any(entry.get("rstrip") is True for entry in entries)


def weights(config: Config) -> Iterator[Weight]:
    return table_weights(config, PARTS)


def extras(config: Config) -> Mapping[str, NDArray[Any]]:
    """By how much each of the rope's frequencies is divided in a long context, and in a short one."""
    rope = rope_of(config)
    if rope_kind(rope) not in _LONG:
        return {}
    import numpy as np

    count = _rotated(config) // 2
    return {
        f"rope_factors_{kind}.weight": np.array(rope.numbers(f"{kind}_factor", count), dtype=np.float32)
        for kind in ("long", "short")
    }


def _rotated(config: Config) -> int:
    """How many numbers of a head the rope turns."""
    part = rope_of(config).number("partial_rotary_factor", config.number("partial_rotary_factor", 1.0), high=1.0)
    return int(sizes_of(config).head * part) // 2 * 2


def _attention_factor(config: Config) -> float:
    trained = original_context(config, rope_of(config))
    scale = config.integer("max_position_embeddings") / trained
    return math.sqrt(1 + math.log(scale) / math.log(trained)) if scale > 1 and trained > 1 else 1.0
