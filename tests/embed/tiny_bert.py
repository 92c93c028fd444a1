"""A tiny BERT of random weights, as a reranker with a head that gives one score, or for embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 32, 2, 4, 64, 64
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *("\u2581" + letter for letter in _LETTERS), *_LETTERS]


def write_tiny_bert(
    path: Path, pooling: gguf.PoolingType = gguf.PoolingType.MEAN, *, head: bool = True, labels: Sequence[str] = ()
) -> Path:
    """`labels` name the outputs of the head, whether there is one or not."""
    writer: Any = gguf.GGUFWriter(path, "bert")
    writer.add_name("ranker")
    writer.add_file_type(0)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    if labels:
        writer.add_classifier_output_labels(labels)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 2, 3, 3, *[1] * (len(TOKENS) - 4)])
    for name, token in (("pad", 0), ("unk", 1), ("bos", 2), ("sep", 3), ("eos", 3), ("mask", 1)):
        getattr(writer, f"add_{name}_token_id")(token)
    rng = np.random.default_rng(3)
    for name, shape in _shapes().items():
        if name.startswith("cls.") and not head:
            continue
        data = np.ones(shape) if name.endswith("norm.weight") else rng.normal(0, 0.3, shape)
        writer.add_tensor(name, data.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(TOKENS), WIDTH),
        "position_embd.weight": (CONTEXT, WIDTH),
        "token_types.weight": (2, WIDTH),
        "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
        "cls.weight": (WIDTH, WIDTH),
        "cls.bias": (WIDTH,),
        "cls.output.weight": (1, WIDTH),
        "cls.output.bias": (1,),
    }
    parts = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH, WIDTH),
        "attn_v": (WIDTH, WIDTH),
        "attn_output": (WIDTH, WIDTH),
    }
    parts |= {"ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
    for layer in range(LAYERS):
        for name, shape in parts.items():
            shapes[f"blk.{layer}.{name}.weight"], shapes[f"blk.{layer}.{name}.bias"] = shape, shape[:1]
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes[f"blk.{layer}.{name}.weight"] = shapes[f"blk.{layer}.{name}.bias"] = (WIDTH,)
    return shapes
