"""Tiny models of random weights as Hugging Face would save them: config.json and model.safetensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from .reference import Array, head_size

VOCABULARY = 512

Shapes = dict[str, tuple[int, ...]]


def decoder_config(architecture: str, model_type: str, **changes: Any) -> dict[str, Any]:
    config = {
        "architectures": [architecture],
        "model_type": model_type,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    }
    return config | changes


def decoder_shapes(config: dict[str, Any]) -> Shapes:
    """The tensors of a decoder without biases and with two norms a layer, as Llama has them."""
    hidden, fed, head = config["hidden_size"], config["intermediate_size"], head_size(config)
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes: Shapes = {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "input_layernorm.weight": (hidden,),
            at + "self_attn.q_proj.weight": (q, hidden),
            at + "self_attn.k_proj.weight": (kv, hidden),
            at + "self_attn.v_proj.weight": (kv, hidden),
            at + "self_attn.o_proj.weight": (hidden, q),
            at + "post_attention_layernorm.weight": (hidden,),
            at + "mlp.gate_proj.weight": (fed, hidden),
            at + "mlp.up_proj.weight": (fed, hidden),
            at + "mlp.down_proj.weight": (hidden, fed),
        }
    return shapes


def random_weights(shapes: Shapes, seed: int = 0, *, norm: float = 1.0) -> dict[str, Array]:
    """Numbers that F16 holds exactly, of a size that keeps a deep model's activations alive."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        if "norm" in name.lower() and name.endswith("weight"):
            values = norm + rng.normal(0, 0.2, shape)
        elif len(shape) == 1:
            values = rng.normal(0, 0.3, shape)
        else:
            values = rng.normal(0, 0.3 if "embed" in name else 1.4 / np.sqrt(shape[1]), shape)
        weights[name] = values.astype(np.float16).astype(np.float32)
    return weights


def save(folder: Path, config: dict[str, Any], weights: dict[str, Array], kind: str = "F16") -> Path:
    """Write config.json and model.safetensors of F16, F32 or BF16."""
    (folder / "config.json").write_text(json.dumps(config))
    save_weights(folder / "model.safetensors", weights, kind)
    return folder


def save_weights(path: Path, weights: dict[str, Array], kind: str = "F16") -> None:
    if kind == "BF16":
        _save_bfloat(path, weights)
    else:
        dtype = {"F16": np.float16, "F32": np.float32}[kind]
        save_file({name: np.ascontiguousarray(values, dtype) for name, values in weights.items()}, str(path))


def _save_bfloat(path: Path, weights: dict[str, Array]) -> None:
    """The upper half of each number, which is exact where `as_bfloat` made it so. numpy has no such type."""
    header, data = {}, b""
    for name, values in weights.items():
        half = (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": [len(data), len(data) + len(half)]}
        data += half
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def as_bfloat(weights: dict[str, Array]) -> dict[str, Array]:
    """The weights without the digits that BF16 lacks."""
    return {
        name: (np.ascontiguousarray(values, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        for name, values in weights.items()
    }
