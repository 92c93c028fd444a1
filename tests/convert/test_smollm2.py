"""A real model: SmolLM2, taken out of its GGUF into a folder as Hugging Face has it, and converted back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from ollama_jupyter.gguf import read_header

from . import folders, vocabularies
from .reference import Array
from .running import convert, loaded, logits

PARTS = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
HEADS = {"attn_q": 9, "attn_k": 3}
CONFIG = folders.decoder_config(
    "LlamaForCausalLM", "llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, vocab_size=49152, max_position_embeddings=8192, rope_theta=1e5, tie_word_embeddings=True,
)  # fmt: skip


def taken_apart(path: Path, folder: Path) -> None:
    """Write the checkpoint that a GGUF of SmolLM2 was made from, but for what quantizing took."""
    reader = gguf.GGUFReader(path)
    weights = {}
    for tensor in reader.tensors:
        values: Array = gguf.dequantize(tensor.data, tensor.tensor_type)
        name = tensor.name.removesuffix(".weight")
        if name.startswith("blk."):
            _, layer, part = name.split(".")
            values = halves(values, HEADS[part]) if part in HEADS else values
            name = f"layers.{layer}.{PARTS[part]}"
        else:
            name = {"token_embd": "embed_tokens", "output_norm": "norm"}[name]
        weights[f"model.{name}.weight"] = values
    folders.save(folder, CONFIG, weights)
    write_tokenizer(reader, folder)


def halves(values: Array, heads: int) -> Array:
    """Rows of heads in Hugging Face's order from llama.cpp's."""
    return values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def write_tokenizer(reader: gguf.GGUFReader, folder: Path) -> None:
    def strings(key: str) -> Any:
        return reader.get_field(f"tokenizer.ggml.{key}").contents()

    tokens, types = strings("tokens"), strings("token_type")
    added = [
        {"id": number, "content": text, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False}
        for number, (text, kind) in enumerate(zip(tokens, types, strict=True)) if kind == 3
    ]  # fmt: skip
    splitter = [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}]
    content = {
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": splitter},
        "model": {
            "type": "BPE",
            "vocab": {text: number for number, text in enumerate(tokens)},
            "merges": strings("merges"),
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    special = {f"{name}_token": tokens[int(strings(f"{name}_token_id"))] for name in ("bos", "eos")}
    vocabularies.configure(folder, chat_template=reader.get_field("tokenizer.chat_template").contents(), **special)


@pytest.fixture(scope="module")
def converted(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smollm2")
    taken_apart(smollm2, folder)
    return convert(folder)


def test_its_vocabulary_comes_back(smollm2: Path, converted: Path) -> None:
    before, after = read_header(smollm2), read_header(converted)
    for key in ("model", "pre", "bos_token_id", "eos_token_id"):
        assert before.get(f"tokenizer.ggml.{key}") == after.get(f"tokenizer.ggml.{key}")
    assert before.chat_template == after.chat_template
    assert before.parameter_count == after.parameter_count
    with loaded(smollm2, vocab_only=True) as old, loaded(converted, vocab_only=True) as new:
        for text in [*vocabularies.TEXTS, "<|im_start|>user\nHello<|im_end|>\n"]:
            wanted = old.tokenize(text.encode(), add_bos=True, special=True)
            assert new.tokenize(text.encode(), add_bos=True, special=True) == wanted, text


def test_it_says_the_same(smollm2: Path, converted: Path) -> None:
    with loaded(converted, vocab_only=True) as model:
        tokens = model.tokenize(b"The capital of France is Paris. The capital of Italy is", add_bos=False)
    old, new = logits(smollm2, tokens), logits(converted, tokens)
    assert (old.argmax(-1) == new.argmax(-1)).mean() > 0.9
    # What is left is from the sums, of which one model makes some with 8-bit numbers.
    assert np.abs(old - new).mean() < 0.1 * old.std()
