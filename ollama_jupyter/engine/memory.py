"""What a model will need in memory, from its header alone: weights, KV cache, compute buffers. Plain arithmetic.

The KV cache follows llama.cpp: per layer, cells x KV heads x (key length + value length) x bytes of an element.
The compute part is a rough upper bound of its graph buffers: logits and the widest activations of one batch.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import psutil

from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.gguf import GGUFHeader
from ollama_jupyter.gguf.values import Array

ELEMENT_BYTES = {"": 2.0, "f16": 2.0, "bf16": 2.0, "f32": 4.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
RESERVE = 256 * 2**20
"""Bytes that are left to the rest of the process."""


def kv_bytes(header: GGUFHeader, params: EngineParams) -> int:
    """Bytes of the KV cache that `params` ask for."""
    head_size = header.embedding_length / max(header.head_count, 1)
    width: float = header.get("attention.key_length", head_size) + header.get("attention.value_length", head_size)
    per_layer = header.get("attention.head_count_kv")
    if isinstance(per_layer, Array) and per_layer.items is not None:
        heads = int(sum(per_layer.items))
    else:
        heads = header.head_count_kv * header.block_count
    cells = params.num_ctx * params.num_parallel
    return math.ceil(float(heads * width * cells) * ELEMENT_BYTES.get(params.kv_cache_type, 2.0))


def cache_bytes(header: GGUFHeader, params: EngineParams) -> int:
    """Bytes of the cache that is really made: what embeds keeps no more than a batch, and encoders nothing."""
    if not params.embeds:
        return kv_bytes(header, params)
    return 0 if "bert" in header.architecture else kv_bytes(header, replace(params, num_ctx=params.num_batch))


def compute_bytes(header: GGUFHeader, params: EngineParams) -> int:
    """Rough bytes of the compute buffers: a batch's activations, its logits, and without flash attention its scores."""
    width = header.embedding_length
    feed_forward = header.integer("feed_forward_length") or 4 * width
    activations = params.num_batch * (4 * width + 2 * feed_forward)
    logits = header.vocabulary_size * max(params.num_parallel, 64)
    scores = 0
    if params.flash_attention is False:
        scores = header.head_count * params.num_batch * params.num_ctx * params.num_parallel
    return 4 * (activations + logits + scores)


def estimate(header: GGUFHeader, params: EngineParams) -> int:
    """Bytes that loading will take in all: the whole file, the KV cache, and the compute buffers."""
    return header.file_size + cache_bytes(header, params) + compute_bytes(header, params)


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
