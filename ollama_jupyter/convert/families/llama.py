"""Llama 2 and 3, Mistral, SmolLM, TinyLlama: LlamaForCausalLM and MistralForCausalLM.

Mistral's first sliding window (4,096 positions) is not kept, as llama.cpp's converter does not either: within it
there is no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families.decoder import (
    FEED_FORWARD,
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

NAME = "llama"
DEFAULTS: Mapping[str, Any] = {}
source_name = plain_name

PARTS = (
    Part("attn_norm.weight", "input_layernorm.weight", ("hidden",)),
    Part("attn_q.weight", "self_attn.q_proj.weight", ("q", "hidden"), heads="q"),
    Part("attn_k.weight", "self_attn.k_proj.weight", ("kv", "hidden"), heads="kv"),
    Part("attn_v.weight", "self_attn.v_proj.weight", ("kv", "hidden")),
    Part("attn_output.weight", "self_attn.o_proj.weight", ("hidden", "q")),
    Part("ffn_norm.weight", "post_attention_layernorm.weight", ("hidden",)),
    *FEED_FORWARD,
    Part("attn_q.bias", "self_attn.q_proj.bias", ("q",), heads="q", required=False),
    Part("attn_k.bias", "self_attn.k_proj.bias", ("kv",), heads="kv", required=False),
    Part("attn_v.bias", "self_attn.v_proj.bias", ("kv",), required=False),
    Part("attn_output.bias", "self_attn.o_proj.bias", ("hidden",), required=False),
)


def metadata(folder: Folder, config: Config) -> Metadata:
    config.demand("hidden_act", "silu")
    keys = common_metadata(config)
    keys |= rope_metadata(config, allowed=("linear", "yarn", "llama3"))
    return keys | {"rope.dimension_count": keys["attention.key_length"], "vocab_size": config.integer("vocab_size")}


def weights(config: Config) -> Iterator[Weight]:
    return table_weights(config, PARTS)


def extras(config: Config) -> Mapping[str, NDArray[Any]]:
    """Llama 3's rope scaling: by how much each of the rope's frequencies is divided."""
    rope = rope_of(config)
    if rope_kind(rope) != "llama3":
        return {}
    import numpy as np

    head = sizes_of(config).head
    theta = rope.number("rope_theta", config.number("rope_theta", 10000.0), low=1.0)
    factors = [_divisor(rope, config, theta ** (-i / head)) for i in range(0, head, 2)]
    return {"rope_freqs.weight": np.array(factors, dtype=np.float32)}


def _divisor(rope: Config, config: Config, frequency: float) -> float:
    """1 for what turns fast, the whole factor for what turns slowly, and a smooth passage between."""
    factor = rope.number("factor", 8.0, low=1.0)
    low, high = rope.number("low_freq_factor", 1.0, low=1e-6), rope.number("high_freq_factor", 4.0, low=1e-6)
    turns = original_context(config, rope) * frequency / (2 * math.pi)
    if turns > high:
        return 1.0
    if turns < low or high == low:
        return factor
    smooth = (turns - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
