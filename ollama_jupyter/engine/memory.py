"""What a model will need in memory, from its header alone: weights, KV cache, compute buffers. Plain arithmetic.

The KV cache follows llama.cpp: per layer, cells x KV heads x (key length + value length) x bytes of an element.
The compute part is a rough upper bound of its graph buffers: logits and the widest activations of one batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

ELEMENT_BYTES = {"": 2.0, "f16": 2.0, "bf16": 2.0, "f32": 4.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
RESERVE = 256 * 2**20
"""Bytes that are left to the rest of the process."""


def kv_bytes(metadata: Mapping[str, Any], cells: int, cache_type: str = "") -> int:
    """Bytes of a KV cache of `cells` tokens for the model whose GGUF metadata is given."""
    arch = metadata.get("general.architecture", "")

    def read(key: str, default: Any) -> Any:
        return metadata.get(f"{arch}.{key}", default)

    layers = int(read("block_count", 0))
    heads = read("attention.head_count", 1)
    kv_heads = read("attention.head_count_kv", heads)
    total_kv_heads: int = sum(kv_heads) if isinstance(kv_heads, (list, tuple)) else int(kv_heads) * layers
    query_heads = max(heads) if isinstance(heads, (list, tuple)) else int(heads)
    head_size = int(read("embedding_length", 0)) / max(query_heads, 1)
    width: float = read("attention.key_length", head_size) + read("attention.value_length", head_size)
    return math.ceil(total_kv_heads * width * cells * ELEMENT_BYTES.get(cache_type, 2.0))


def compute_bytes(metadata: Mapping[str, Any], vocab: int, batch: int) -> int:
    """Rough bytes of the compute buffers for batches of `batch` tokens."""
    arch = metadata.get("general.architecture", "")
    width = int(metadata.get(f"{arch}.embedding_length", 0))
    feed_forward = metadata.get(f"{arch}.feed_forward_length", 4 * width)
    widest = max(feed_forward) if isinstance(feed_forward, (list, tuple)) else int(feed_forward)
    return 4 * batch * (4 * width + 2 * widest) + 4 * vocab * 64


def estimate(metadata: Mapping[str, Any], weights: int, vocab: int, cells: int, batch: int, cache_type: str) -> int:
    """Bytes that loading will take in all. `weights` is the size of the model file."""
    return weights + kv_bytes(metadata, cells, cache_type) + compute_bytes(metadata, vocab, batch)


def available_bytes() -> int:
    """Memory that may still be used: the machine's, or what the cgroup (a hub's pod) leaves, whichever is less."""
    return max(0, min(psutil.virtual_memory().available, _cgroup_left()) - RESERVE)


def _cgroup_left() -> int:
    """Bytes left below the cgroup v2 limit. Page cache that could be dropped counts as left."""
    try:
        limit = _read_int("/sys/fs/cgroup/memory.max")
        stat = dict(line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines())
        return limit - _read_int("/sys/fs/cgroup/memory.current") + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):  # no cgroup, or "max": no limit
        return 2**62


def _read_int(path: str) -> int:
    return int(Path(path).read_text())
