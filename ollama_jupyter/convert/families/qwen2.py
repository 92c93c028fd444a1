"""Qwen 2 and 2.5: as Llama, with biases, and without a rearrangement of heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families.decoder import (
    ATTENTION,
    FEED_FORWARD,
    Part,
    common_metadata,
    no_extras,
    plain_name,
    rope_metadata,
    table_weights,
)
from ollama_jupyter.convert.families.pooling import pooling_metadata
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata

NAME = "qwen2"
DEFAULTS: Mapping[str, Any] = {}
source_name = plain_name
extras = no_extras

PARTS = (
    *ATTENTION,
    Part("ffn_norm.weight", "post_attention_layernorm.weight", ("hidden",)),
    *FEED_FORWARD,
    Part("attn_q.bias", "self_attn.q_proj.bias", ("q",)),
    Part("attn_k.bias", "self_attn.k_proj.bias", ("kv",)),
    Part("attn_v.bias", "self_attn.v_proj.bias", ("kv",)),
)


def metadata(folder: Folder, config: Config) -> Metadata:
    config.demand("hidden_act", "silu")
    config.demand("use_sliding_window", False)
    return common_metadata(config) | rope_metadata(config) | pooling_metadata(folder)


def weights(config: Config) -> Iterator[Weight]:
    return table_weights(config, PARTS)
