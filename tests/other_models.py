"""Tiny random-weight models of other kinds than llama: a sliding window (gemma3), a recurrent state (mamba)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from models import tiny_vocabulary

LAYERS, WIDTH = 6, 32


def _writer(path: Path, architecture: str, context: int) -> Any:
    tokens, scores, types = tiny_vocabulary()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_file_type(0)
    writer.add_block_count(LAYERS)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    return writer


def _finish(writer: Any, block: dict[str, tuple[int, ...]]) -> None:
    shapes = {"token_embd.weight": (len(tiny_vocabulary()[0]), WIDTH), "output_norm.weight": (WIDTH,)}
    shapes |= {f"blk.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in block.items()}
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        if "norm" in name:
            data = np.ones(shape, np.float32)
        elif name.endswith("ssm_a"):
            data = -np.abs(rng.normal(1, 0.3, shape)).astype(np.float32)
        else:
            data = rng.normal(0, 0.3, shape).astype(np.float32)
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tiny_gemma3(path: Path, *, context: int = 512, window: int = 32) -> Path:
    """Five layers of six see only the last `window` tokens."""
    heads, heads_kv, feed_forward = 4, 2, 64
    size = WIDTH // heads
    writer = _writer(path, "gemma3", context)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads_kv)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_sliding_window(window)
    writer.add_rope_freq_base(10000.0)
    block: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (WIDTH,),
        "attn_q.weight": (heads * size, WIDTH),
        "attn_k.weight": (heads_kv * size, WIDTH),
        "attn_v.weight": (heads_kv * size, WIDTH),
        "attn_output.weight": (WIDTH, heads * size),
        "attn_q_norm.weight": (size,),
        "attn_k_norm.weight": (size,),
        "post_attention_norm.weight": (WIDTH,),
        "ffn_norm.weight": (WIDTH,),
        "ffn_gate.weight": (feed_forward, WIDTH),
        "ffn_up.weight": (feed_forward, WIDTH),
        "ffn_down.weight": (WIDTH, feed_forward),
        "post_ffw_norm.weight": (WIDTH,),
    }
    _finish(writer, block)
    return path


def write_tiny_mamba(path: Path, *, context: int = 512) -> Path:
    """No attention at all: a state that can neither be cut nor copied in part."""
    inner, state, rank, kernel = 2 * WIDTH, 16, 4, 4
    writer = _writer(path, "mamba", context)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    block: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (WIDTH,),
        "ssm_in.weight": (2 * inner, WIDTH),
        "ssm_conv1d.weight": (inner, kernel),
        "ssm_conv1d.bias": (inner,),
        "ssm_x.weight": (rank + 2 * state, inner),
        "ssm_dt.weight": (inner, rank),
        "ssm_dt.bias": (inner,),
        "ssm_a": (inner, state),
        "ssm_d": (inner,),
        "ssm_out.weight": (WIDTH, inner),
    }
    _finish(writer, block)
    return path
