"""Qwen, Gemma and Phi: converted, loaded by llama.cpp, and compared with a forward pass in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, processors

from ollama_jupyter.gguf import read_header

from . import folders, vocabularies
from .reference import decoder, head_size, last_layer
from .running import convert, loaded, logits, same_logits

TOKENS = [int(n) for n in np.random.default_rng(3).integers(0, folders.VOCABULARY, 48)]
GEMMA = {
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "tie_word_embeddings": True,
    "sliding_window": 16,
}


def check(folder: Path, config: dict[str, Any], shapes: folders.Shapes, norm: float = 1.0) -> Path:
    """Convert and compare over 48 tokens: three times the sliding windows."""
    weights = folders.random_weights(shapes, norm=norm)
    path = convert(folders.save(folder, config, weights))
    same_logits(logits(path, TOKENS), decoder(weights, config, TOKENS))
    return path


# ---- Qwen ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_qwen_2(tmp_path: Path, tied: bool) -> None:
    config = folders.decoder_config("Qwen2ForCausalLM", "qwen2", tie_word_embeddings=tied, rope_theta=1e6)
    shapes = folders.decoder_shapes(config)
    for layer in range(2):
        at = f"model.layers.{layer}.self_attn."
        shapes |= {at + "q_proj.bias": (64,), at + "k_proj.bias": (32,), at + "v_proj.bias": (32,)}
    vocabularies.byte_level(tmp_path, "qwen2", begin=False)
    check(tmp_path, config, shapes)


def test_qwen_3(tmp_path: Path) -> None:
    config = folders.decoder_config("Qwen3ForCausalLM", "qwen3", head_dim=32, rope_theta=1e6)
    vocabularies.byte_level(tmp_path, "qwen2", begin=False)
    check(tmp_path, config, folders.decoder_shapes(config) | head_norms(config))


def test_a_qwen_3_that_embeds(tmp_path: Path) -> None:
    """Saved without its head, and pooled by the last token, which the tokenizer puts behind each text."""
    config = folders.decoder_config("Qwen3ForCausalLM", "qwen3", head_dim=32, tie_word_embeddings=True)
    weights = folders.random_weights(folders.decoder_shapes(config) | head_norms(config))
    tokenizer = vocabularies.byte_level(tmp_path, "qwen2", begin=False)
    last = tokenizer.token_to_id(vocabularies.END)
    tokenizer.post_processor = processors.TemplateProcessing(f"$A {vocabularies.END}", None, [(vocabularies.END, last)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabularies.configure(tmp_path, eos_token=vocabularies.BEGIN)
    vocabularies.pooled_by(tmp_path, pooling_mode_lasttoken=True)
    folders.save(tmp_path, config, {name.removeprefix("model."): values for name, values in weights.items()})
    path = convert(tmp_path)
    with loaded(path, embedding=True) as model:
        got = np.array(model.embed("The quick brown fox", normalize=True))
    wanted = last_layer(weights, config, tokenizer.encode("The quick brown fox").ids)[-1]
    assert float(got @ wanted) > 0.999 * np.linalg.norm(wanted)
    header = read_header(path)
    assert header.eos_token == vocabularies.END
    assert header.get("tokenizer.ggml.eot_token_id") == tokenizer.token_to_id(vocabularies.BEGIN)


def head_norms(config: dict[str, Any]) -> folders.Shapes:
    return {
        f"model.layers.{layer}.self_attn.{part}_norm.weight": (head_size(config),)
        for layer in range(config["num_hidden_layers"])
        for part in "qk"
    }


# ---- Gemma --------------------------------------------------------------------------------------------------------


def gemma_shapes(config: dict[str, Any]) -> folders.Shapes:
    return folders.decoder_shapes(config) | {
        f"model.layers.{layer}.{part}_feedforward_layernorm.weight": (config["hidden_size"],)
        for layer in range(config["num_hidden_layers"])
        for part in ("pre", "post")
    }


def test_gemma_2(tmp_path: Path) -> None:
    caps = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 4.0}
    config = folders.decoder_config("Gemma2ForCausalLM", "gemma2", num_hidden_layers=3, **GEMMA, **caps)
    vocabularies.pieces(tmp_path, space=False)
    path = check(tmp_path, config, gemma_shapes(config), norm=0.0)
    assert read_header(path).get("attention.sliding_window") == 16


GEMMA_3 = {"rope_theta": 1e6, "rope_local_base_freq": 10000.0, "rms_norm_eps": 1e-6}


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 7, "sliding_window_pattern": 6},
        {"num_hidden_layers": 3, "sliding_window_pattern": 2},
        {"num_hidden_layers": 3, "sliding_window_pattern": 2, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    ],
    ids=["the usual pattern", "another pattern", "scaled rope"],
)
def test_gemma_3(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = folders.decoder_config("Gemma3ForCausalLM", "gemma3_text", **GEMMA | GEMMA_3 | changes)
    vocabularies.pieces(tmp_path, space=False)
    check(tmp_path, config, gemma_shapes(config) | head_norms(config), norm=0.0)


@pytest.mark.parametrize("place", ["language_model.model.", "model.language_model."])
def test_the_language_model_of_a_gemma_3_that_sees(tmp_path: Path, place: str) -> None:
    text = folders.decoder_config(
        "", "gemma3_text", **GEMMA | GEMMA_3 | {"num_hidden_layers": 3, "sliding_window_pattern": 2}
    )
    weights = folders.random_weights(gemma_shapes(text) | head_norms(text), norm=0.0)
    inner = {key: value for key, value in text.items() if key not in ("architectures", "tie_word_embeddings")}
    whole = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": inner}
    stored = {place + name.removeprefix("model."): values for name, values in weights.items()}
    stored["vision_tower.vision_model.embeddings.patch_embedding.weight"] = np.zeros((4, 3, 2, 2), np.float32)
    vocabularies.pieces(tmp_path, space=False)
    path = convert(folders.save(tmp_path, whole, stored))
    same_logits(logits(path, TOKENS), decoder(weights, text, TOKENS))


# ---- Phi ----------------------------------------------------------------------------------------------------------


def phi_shapes(config: dict[str, Any]) -> folders.Shapes:
    """Llama's tensors, with queries, keys and values in one, and gate and up in another."""
    apart = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
    shapes = {
        name: shape for name, shape in folders.decoder_shapes(config).items() if not any(part in name for part in apart)
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        shapes |= {at + "self_attn.qkv_proj.weight": (128, 64), at + "mlp.gate_up_proj.weight": (192, 64)}
    return shapes


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ""),
        ({"partial_rotary_factor": 0.5, "tie_word_embeddings": True}, ""),
        ({"original_max_position_embeddings": 512, "max_position_embeddings": 4096}, "short"),
        ({"original_max_position_embeddings": 128, "max_position_embeddings": 4096}, "long"),
    ],
    ids=["plain", "half-turned and tied", "long rope, short context", "long rope, long context"],
)
def test_phi_3(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    config = folders.decoder_config("Phi3ForCausalLM", "phi3", **changes)
    if kind:
        factors = {"short_factor": [1.0 + i / 8 for i in range(8)], "long_factor": [2.0 + i for i in range(8)]}
        config["rope_scaling"] = {"type": "longrope", **factors}
    weights = folders.random_weights(phi_shapes(config))
    vocabularies.byte_level(tmp_path, "gpt-4o", begin=False)
    path = convert(folders.save(tmp_path, config, weights))
    # The class that runs it asks for 256 positions, which decides between the factors.
    same_logits(logits(path, TOKENS), decoder(weights, config | {"factors": kind}, TOKENS))


def test_special_tokens_of_phi_3_swallow_the_space_behind_them(tmp_path: Path) -> None:
    tokenizer = vocabularies.pieces(tmp_path)
    special = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|user|>", "<|end|>"]
    tokenizer.add_special_tokens([AddedToken(text, rstrip=text.startswith("<|"), normalized=False) for text in special])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    decoder = {
        tokenizer.token_to_id(text): {"content": text, "special": True, "rstrip": text.startswith("<|")}
        for text in special
    }
    vocabularies.configure(tmp_path, bos_token="<s>", added_tokens_decoder=decoder)
    config = folders.decoder_config("Phi3ForCausalLM", "phi3", vocab_size=640)
    folders.save(tmp_path, config, folders.random_weights(phi_shapes(config)))
    text = "<|user|>\n  Hello<|end|>\n<|user|> there"
    with loaded(convert(tmp_path), vocab_only=True) as model:
        got = model.tokenize(text.encode(), add_bos=False, special=True)
    pieces = [tokenizer.id_to_token(number) for number in got]
    assert "\n" not in "".join(pieces)
    assert "<0x0A>" not in pieces
    assert got.count(tokenizer.token_to_id("<|user|>")) == 2
