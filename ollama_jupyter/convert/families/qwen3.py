"""Qwen 3, dense: queries and keys are normalised, and the heads need not fill the hidden size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families.decoder import (
    ATTENTION,
    FEED_FORWARD,
    HEAD_NORMS,
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

NAME = "qwen3"
DEFAULTS: Mapping[str, Any] = {"head_dim": 128}
source_name = plain_name
extras = no_extras

PARTS = (
    *ATTENTION,
    *HEAD_NORMS,
    Part("ffn_norm.weight", "post_attention_layernorm.weight", ("hidden",)),
    *FEED_FORWARD,
)


def metadata(folder: Folder, config: Config) -> Metadata:
    config.demand("hidden_act", "silu")
    config.demand("use_sliding_window", False)
    return common_metadata(config) | rope_metadata(config) | pooling_metadata(folder)


def weights(config: Config) -> Iterator[Weight]:
    return table_weights(config, PARTS)
