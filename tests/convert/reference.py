"""Forward passes in plain numpy, as the models' papers and Hugging Face's code have them: what conversions must match.

Weights go by their names in the checkpoint, settings by their names in config.json. Nothing here knows of GGUF.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
Config = Mapping[str, Any]


# ---- parts --------------------------------------------------------------------------------------------------------


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[np.float32])
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softcap(x: Array, cap: float | None) -> Array:
    return np.tanh(x / cap) * cap if cap else x


def rotate(x: Array, frequencies: Array, scale: float = 1.0) -> Array:
    """Rotary embedding of [position, head, dim]: halves of a head's first numbers turn against each other."""
    angles = np.arange(len(x))[:, None] * np.concatenate([frequencies, frequencies])[None]
    x, rest = np.split(x, [angles.shape[1]], axis=-1)
    first, second = np.split(x, 2, axis=-1)
    turned = np.concatenate([-second, first], axis=-1)
    rotated = (x * np.cos(angles)[:, None] + turned * np.sin(angles)[:, None]) * scale
    return np.concatenate([rotated, rest], axis=-1)


def attention(
    q: Array, k: Array, v: Array, scale: float, *, causal: bool, window: int | None, cap: float | None
) -> Array:
    """[position, head, dim] each, fewer heads of k and v being shared by groups of q's. Gives [position, all heads]."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = softcap(np.einsum("qhd,khd->hqk", q, k) * scale, cap)
    distance = np.arange(len(q))[:, None] - np.arange(len(q))[None]
    hidden = (distance < 0) if causal else np.zeros_like(distance, dtype=bool)
    if window:
        hidden |= distance >= window
    scores = np.where(hidden, -np.inf, scores)
    return np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(len(q), -1)


# ---- rope ---------------------------------------------------------------------------------------------------------


def frequencies(config: Config, theta: float | None = None) -> tuple[Array, float]:
    """The rope's angle per position of each pair, and by what cosine and sine are multiplied."""
    turned = int(head_size(config) * config.get("partial_rotary_factor", 1.0))
    base = (theta or config.get("rope_theta", 10000.0)) ** (-np.arange(0, turned, 2) / turned)
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if theta is not None or kind == "default":
        return base, 1.0
    if kind == "linear":
        return base / scaling["factor"], 1.0
    if kind == "llama3":
        return _llama3(base, scaling), 1.0
    assert kind == "longrope"
    trained = config["original_max_position_embeddings"]
    scale = config["max_position_embeddings"] / trained
    return base / np.array(scaling[config["factors"] + "_factor"]), math.sqrt(1 + math.log(scale) / math.log(trained))


def _llama3(base: Array, scaling: Config) -> Array:
    trained, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    wavelength = 2 * math.pi / base
    smooth = (trained / wavelength - low) / (high - low)
    between = (1 - smooth) * base / factor + smooth * base
    return np.where(wavelength < trained / high, base, np.where(wavelength > trained / low, base / factor, between))


def head_size(config: Config) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


# ---- decoders -----------------------------------------------------------------------------------------------------


def decoder(weights: Weights, config: Config, tokens: list[int]) -> Array:
    """Logits of each position."""
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return softcap(last_layer(weights, config, tokens) @ head.T, config.get("final_logit_softcapping"))


def last_layer(weights: Weights, config: Config, tokens: list[int]) -> Array:
    """What the last layer makes of each position, normalised."""
    gemma = config["model_type"].startswith("gemma")
    shift = 1.0 if gemma else 0.0

    def norm(x: Array, name: str) -> Array:
        return rms_norm(x, weights[name] + shift, config["rms_norm_eps"])

    x = weights["model.embed_tokens.weight"][tokens]
    if gemma:
        x = x * math.sqrt(config["hidden_size"])
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        mixed = _self_attention(norm(x, at + "input_layernorm.weight"), weights, at + "self_attn.", config, layer, norm)
        if gemma:
            x = x + norm(mixed, at + "post_attention_layernorm.weight")
            fed = _feed_forward(norm(x, at + "pre_feedforward_layernorm.weight"), weights, at + "mlp.", gelu_tanh)
            x = x + norm(fed, at + "post_feedforward_layernorm.weight")
        else:
            x = x + mixed
            x = x + _feed_forward(norm(x, at + "post_attention_layernorm.weight"), weights, at + "mlp.", silu)
    return norm(x, "model.norm.weight")


def _self_attention(
    x: Array, weights: Weights, at: str, config: Config, layer: int, norm: Callable[[Array, str], Array]
) -> Array:
    head, heads, shared = head_size(config), config["num_attention_heads"], config["num_key_value_heads"]
    if at + "qkv_proj.weight" in weights:
        q, k, v = np.split(x @ weights[at + "qkv_proj.weight"].T, [heads * head, (heads + shared) * head], axis=-1)
    else:
        q, k, v = (_linear(x, weights, f"{at}{part}_proj") for part in "qkv")
    q, k, v = q.reshape(-1, heads, head), k.reshape(-1, shared, head), v.reshape(-1, shared, head)
    if at + "q_norm.weight" in weights:
        q, k = norm(q, at + "q_norm.weight"), norm(k, at + "k_norm.weight")
    window, theta = _window(config, layer)
    turns, scale = frequencies(config, theta)
    q, k = rotate(q, turns, scale), rotate(k, turns, scale)
    size = config.get("query_pre_attn_scalar") or head
    cap = config.get("attn_logit_softcapping")
    mixed = attention(q, k, v, size**-0.5, causal=True, window=window, cap=cap)
    return _linear(mixed, weights, at + "o_proj")


def _window(config: Config, layer: int) -> tuple[int | None, float | None]:
    """The layer's sliding window and rope base, where they are its own."""
    if config["model_type"] == "gemma2":
        return (config["sliding_window"] if layer % 2 == 0 else None), None
    if config["model_type"] == "gemma3_text":
        if (layer + 1) % config["sliding_window_pattern"]:
            return config["sliding_window"], config["rope_local_base_freq"]
        return None, None
    return None, None


def _linear(x: Array, weights: Weights, name: str) -> Array:
    bias = weights.get(name + ".bias")
    y = x @ weights[name + ".weight"].T
    return y if bias is None else y + bias


def _feed_forward(x: Array, weights: Weights, at: str, activation: Callable[[Array], Array]) -> Array:
    if at + "gate_up_proj.weight" in weights:
        gate, up = np.split(x @ weights[at + "gate_up_proj.weight"].T, 2, axis=-1)
    else:
        gate, up = x @ weights[at + "gate_proj.weight"].T, x @ weights[at + "up_proj.weight"].T
    return (activation(gate) * up) @ weights[at + "down_proj.weight"].T


# ---- encoders -----------------------------------------------------------------------------------------------------


def bert(weights: Weights, config: Config, tokens: list[int], pooling: str = "mean") -> Array:
    """The pooled embedding of a text, of length 1."""
    x = bert_layers(weights, config, tokens)
    pooled = x.mean(0) if pooling == "mean" else x[0]
    return pooled / np.linalg.norm(pooled)


def bert_layers(weights: Weights, config: Config, tokens: list[int]) -> Array:
    """What the last layer makes of each position."""
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]

    def norm(x: Array, name: str) -> Array:
        return layer_norm(x, weights[name + ".weight"], weights[name + ".bias"], eps)

    x = weights["embeddings.word_embeddings.weight"][tokens] + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + weights["embeddings.position_embeddings.weight"][: len(tokens)], "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        q, k, v = (
            _linear(x, weights, f"{at}attention.self.{part}").reshape(len(tokens), heads, -1)
            for part in ("query", "key", "value")
        )
        mixed = attention(q, k, v, q.shape[-1] ** -0.5, causal=False, window=None, cap=None)
        x = norm(x + _linear(mixed, weights, at + "attention.output.dense"), at + "attention.output.LayerNorm")
        fed = _linear(gelu(_linear(x, weights, at + "intermediate.dense")), weights, at + "output.dense")
        x = norm(x + fed, at + "output.LayerNorm")
    return x
