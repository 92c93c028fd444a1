"""Gemma 3, the language model: Gemma3ForCausalLM, and the text part of Gemma3ForConditionalGeneration.

Of the layers that slide, the rope has a base of its own. What sees pictures is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families.decoder import (
    ATTENTION,
    FEED_FORWARD,
    HEAD_NORMS,
    common_metadata,
    no_extras,
    plain_name,
    rope_metadata,
    rope_of,
    table_weights,
)
from ollama_jupyter.convert.families.gemma2 import NORMS, check_scale, sliding_period
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata

NAME = "gemma3"
DEFAULTS: Mapping[str, Any] = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "max_position_embeddings": 131072,
    "vocab_size": 262208,
    "tie_word_embeddings": True,
}
"""What Hugging Face's class assumes where the larger models' configurations are silent."""

extras = no_extras

PARTS = (*ATTENTION, *HEAD_NORMS, *NORMS, *FEED_FORWARD)
_LAYERS_27B = 62
_PERIOD = 6
_PICTURES = ("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector.")


def metadata(folder: Folder, config: Config) -> Metadata:
    config.demand("hidden_activation", "gelu_pytorch_tanh")
    config.demand("use_bidirectional_attention", False)
    config.demand("attn_logit_softcapping", None)
    check_scale(config, _LAYERS_27B)
    keys = common_metadata(config) | rope_metadata(config, 1_000_000.0, allowed=("linear",))
    if config.has("final_logit_softcapping"):
        keys["final_logit_softcapping"] = config.number("final_logit_softcapping", low=1e-3)
    return keys | _sliding(config)


def _sliding(config: Config) -> Metadata:
    period = sliding_period(config, _PERIOD)
    if period == 1:
        return {}
    base = rope_of(config, "sliding_attention").number("rope_theta", 10000.0, low=1.0)
    keys: Metadata = {
        "attention.sliding_window": config.integer("sliding_window"),
        "rope.freq_base_swa": config.number("rope_local_base_freq", base, low=1.0),
    }
    return keys if period == _PERIOD else keys | {"attention.sliding_window_pattern": period}


def weights(config: Config) -> Iterator[Weight]:
    return table_weights(config, PARTS, shift=1.0)


def source_name(name: str) -> str | None:
    """Both ways in which the larger models' checkpoints have named the language model's tensors."""
    if name.startswith(_PICTURES):
        return None
    if name.startswith("model.language_model."):
        return plain_name("model." + name.removeprefix("model.language_model."))
    return plain_name(name.removeprefix("language_model."))
