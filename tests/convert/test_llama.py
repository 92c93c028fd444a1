"""Llama and Mistral: converted, loaded by llama.cpp, and compared with a forward pass in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ollama_jupyter.gguf import read_header

from . import folders, vocabularies
from .reference import decoder
from .running import convert, logits, same_logits

TOKENS = [int(n) for n in np.random.default_rng(7).integers(0, folders.VOCABULARY, 40)]


@pytest.mark.parametrize(
    ("architecture", "changes", "biases"),
    [
        ("LlamaForCausalLM", {}, False),
        ("MistralForCausalLM", {"head_dim": 32, "num_key_value_heads": 4, "sliding_window": None}, False),
        ("LlamaForCausalLM", {"tie_word_embeddings": True, "attention_bias": True}, True),
        ("LlamaForCausalLM", {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}}, False),
        (
            "LlamaForCausalLM",
            {
                "rope_theta": 500000.0,
                "rope_scaling": {
                    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                },
            },
            False,
        ),
    ],
    ids=["plain", "wide heads", "tied, with biases", "linear rope", "llama 3 rope"],
)  # fmt: skip
def test_the_logits_are_those_of_the_checkpoint(
    tmp_path: Path, architecture: str, changes: dict[str, Any], biases: bool
) -> None:
    config = folders.decoder_config(architecture, "llama", **changes)
    shapes = folders.decoder_shapes(config)
    if biases:
        q, kv = shapes["model.layers.0.self_attn.q_proj.weight"][0], shapes["model.layers.0.self_attn.k_proj.weight"][0]
        for layer in range(2):
            at = f"model.layers.{layer}.self_attn."
            shapes |= {at + "q_proj.bias": (q,), at + "k_proj.bias": (kv,), at + "v_proj.bias": (kv,)}
            shapes |= {at + "o_proj.bias": (64,)}
    weights = folders.random_weights(shapes)
    vocabularies.byte_level(tmp_path)
    path = convert(folders.save(tmp_path, config, weights))
    same_logits(logits(path, TOKENS), decoder(weights, config, TOKENS))
    assert read_header(path).file_type == "F16"
