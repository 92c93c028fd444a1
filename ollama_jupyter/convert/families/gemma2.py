"""Gemma 2: norms on both sides, capped scores and logits, and a sliding window in every other layer.

llama.cpp scales the embeddings itself, and takes norms that have 1 added.
"""

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
    sizes_of,
    table_weights,
)
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata
from ollama_jupyter.errors import ConversionError

NAME = "gemma2"
DEFAULTS: Mapping[str, Any] = {
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
extras = no_extras
source_name = plain_name

NORMS = (
    Part("post_attention_norm.weight", "post_attention_layernorm.weight", ("hidden",)),
    Part("ffn_norm.weight", "pre_feedforward_layernorm.weight", ("hidden",)),
    Part("post_ffw_norm.weight", "post_feedforward_layernorm.weight", ("hidden",)),
)
PARTS = (*ATTENTION, *NORMS, *FEED_FORWARD)
_LAYERS_27B = 46


def metadata(folder: Folder, config: Config) -> Metadata:
    config.demand("hidden_activation", "gelu_pytorch_tanh")
    config.demand("tie_word_embeddings", True)
    check_scale(config, _LAYERS_27B)
    if sliding_period(config, 2) != 2:
        raise ConversionError("config.json: only every second layer of a Gemma 2 may attend to all positions")
    return (
        common_metadata(config)
        | rope_metadata(config, allowed=())
        | {
            "attention.sliding_window": config.integer("sliding_window"),
            "attn_logit_softcapping": config.number("attn_logit_softcapping", low=1e-3),
            "final_logit_softcapping": config.number("final_logit_softcapping", low=1e-3),
        }
    )


def weights(config: Config) -> Iterator[Weight]:
    return table_weights(config, PARTS, shift=1.0)


def check_scale(config: Config, layers_27b: int) -> None:
    """Raise ConversionError if the scores are scaled otherwise than llama.cpp, which goes by the number of layers."""
    sizes = sizes_of(config)
    wanted = sizes.hidden // sizes.heads if sizes.layers == layers_27b else sizes.head
    if config.number("query_pre_attn_scalar") != wanted:
        raise ConversionError(
            f'config.json: "query_pre_attn_scalar" must be {wanted}, which is what llama.cpp takes it for'
        )


def sliding_period(config: Config, usual: int) -> int:
    """Every how many layers one attends to all positions, the others to a sliding window; 1 where all do.

    Raises:
        ConversionError: if the layers follow no such rule.
    """
    kinds = config.texts("layer_types")
    if not kinds:
        return config.integer("sliding_window_pattern", config.integer("_sliding_window_pattern", usual))
    sliding = [kind == "sliding_attention" for kind in kinds]
    periods: list[int] = [usual, *range(1, len(kinds) + 2)]
    for period in periods:
        if sliding == [bool((layer + 1) % period) for layer in range(len(kinds))]:
            return period
    raise ConversionError('config.json: "layer_types" follow no period that llama.cpp could be told')
