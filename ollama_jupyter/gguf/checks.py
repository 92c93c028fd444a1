"""What a well-formed header must also mean: values that abort or corrupt llama.cpp are refused here.

Each rule answers an assertion or an unchecked read of llama.cpp (src/llama-model.cpp, src/llama-vocab.cpp at 0.3.36).
"""

from __future__ import annotations

import re
import sys
from array import array
from dataclasses import replace
from pathlib import Path

from ollama_jupyter.gguf.cursor import bad
from ollama_jupyter.gguf.header import GGUFHeader
from ollama_jupyter.gguf.infill import infill_tokens
from ollama_jupyter.gguf.shards import check_shard
from ollama_jupyter.gguf.tables import FLOAT32, INT32, STRING, TYPE_NAMES, UINT32
from ollama_jupyter.gguf.values import Array

MAX_BLOCKS = 512
MAX_EXPERTS = 512
MAX_VOCABULARY = 4 << 20
BYTE_TOKEN = 6
NO_TOKEN = 2**32 - 1
"""-1 in an unsigned key: the vocabulary has no such token."""

_BYTE = re.compile(rb"<0x[0-9A-Fa-f]{2}>\Z")
_ARCHITECTURE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
# These have no attention, and say so with zero heads.
_HEADLESS = ("mamba", "rwkv", "arwkv")
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
_EPSILONS = ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon", "attention.group_norm_epsilon")
_LIMITS = {"context_length": 2**31 - 1, "embedding_length": 1 << 20, "feed_forward_length": 1 << 24}


def check_header(header: GGUFHeader, path: Path) -> GGUFHeader:
    """The header, with its special tokens read, if it describes something that can be loaded.

    Raises:
        InvalidGGUF: naming the key and what was expected.
    """
    if header.split_count > 1:
        check_shard(header)
        if header.split_number:
            return header  # the first shard alone says what the model is
    if header.kinds.get("general.architecture") != STRING or not _ARCHITECTURE.match(header.architecture):
        raise bad("general.architecture must be a string that names the architecture")
    for key in ("general.type", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.chat_template"):
        if header.kinds.get(key, STRING) != STRING:
            raise bad(f"{key} must be a string")
    if not header.tensors and header.split_count <= 1:
        raise bad("it holds no tensors")
    if header.kind == "adapter":
        return header
    if header.kind == "projector":
        _check_projector(header)
        return header
    _check_layers(header)
    _check_heads(header)
    _check_numerics(header)
    _check_experts(header)
    tokens = _check_vocabulary(header, path)
    return replace(header, tokens=tokens, infill=infill_tokens(header.metadata, header.data_offset, path))


# ---- hyperparameters ----------------------------------------------------------------------------------------------


def _number(header: GGUFHeader, key: str) -> int | None:
    """A scalar hyperparameter, which llama.cpp reads as uint32 and nothing else."""
    kind = header.kinds.get(f"{header.architecture}.{key}")
    if kind is None:
        return None
    if kind != UINT32:
        raise bad(f"{header.architecture}.{key} must be a uint32, not {TYPE_NAMES.get(kind, kind)}")
    return header.integer(key)


def _per_layer(header: GGUFHeader, key: str) -> tuple[int, ...] | None:
    """A hyperparameter that is one number, or an array of one a layer."""
    value = header.get(key)
    if not isinstance(value, Array):
        number = _number(header, key)
        return None if number is None else (number,) * header.block_count
    items = value.items or ()
    if value.kind not in (INT32, UINT32) or len(items) < header.block_count or not all(0 <= n < 2**31 for n in items):
        raise bad(f"{header.architecture}.{key} must be a uint32, or an array of one for each layer")
    return items[: header.block_count]


def _check_layers(header: GGUFHeader) -> None:
    blocks = _number(header, "block_count")
    if blocks is None or not 1 <= blocks <= MAX_BLOCKS:
        raise bad(f"{header.architecture}.block_count is {blocks}, expected 1 to {MAX_BLOCKS}")
    for key, limit in _LIMITS.items():
        values = _per_layer(header, key)
        if values is not None and not all(0 < n <= limit for n in values) and key != "feed_forward_length":
            raise bad(f"{header.architecture}.{key} must be from 1 to {limit}")
        if values is not None and max(values) > limit:
            raise bad(f"{header.architecture}.{key} must be at most {limit}")


def _check_heads(header: GGUFHeader) -> None:
    heads = _per_layer(header, "attention.head_count")
    if heads is None:
        return
    if not any(heads) and not header.architecture.startswith(_HEADLESS):
        raise bad(f"{header.architecture}.attention.head_count must not be 0")
    if max(heads) > 1 << 16:
        raise bad(f"{header.architecture}.attention.head_count is {max(heads)}, more than 65536")
    for key in ("attention.key_length", "attention.value_length"):
        length = _number(header, key)
        if length is not None and not 0 < length <= 1 << 16:
            raise bad(f"{header.architecture}.{key} must be from 1 to 65536")
    shared = _per_layer(header, "attention.head_count_kv")
    if shared is not None:
        _check_shared_heads(header, heads, shared)
    embedding, count = _number(header, "embedding_length"), max(heads)
    if embedding and count and header.get("attention.key_length") is None and embedding % count:
        raise bad(f"embedding_length {embedding} is not a multiple of head_count {count}")


def _check_shared_heads(header: GGUFHeader, heads: tuple[int, ...], shared: tuple[int, ...]) -> None:
    if any(heads) and not any(shared):
        raise bad(f"{header.architecture}.attention.head_count_kv must not be 0")
    if any(kv and (n < kv or n % kv) for n, kv in zip(heads, shared, strict=True) if n):
        raise bad(f"{header.architecture}.attention.head_count is not a multiple of its attention.head_count_kv")


def _check_numerics(header: GGUFHeader) -> None:
    """Values that llama.cpp asserts on only when the first token is computed, or compares with a fixed list."""
    scaling = header.get("rope.scaling.type", "none")
    if scaling not in _ROPE_SCALINGS:
        raise bad(f"{header.architecture}.rope.scaling.type must be one of {', '.join(_ROPE_SCALINGS)}")
    for key in _EPSILONS:
        value = header.get(key, 0.0)
        if not isinstance(value, float) or not 0 <= value < 1:  # NaN fails this too
            raise bad(f"{header.architecture}.{key} must be a float32 from 0 to 1")


def _check_experts(header: GGUFHeader) -> None:
    experts, used = _number(header, "expert_count") or 0, _number(header, "expert_used_count") or 0
    groups = _number(header, "expert_group_count") or 0
    if header.architecture.startswith("hunyuan") and experts <= 1:
        return
    if experts > MAX_EXPERTS or used > experts or bool(experts) != bool(used):
        raise bad(f"{used} of {experts} experts used, expected 1 to all of at most {MAX_EXPERTS}")
    if groups and groups >= experts:
        raise bad(f"{groups} groups of {experts} experts")
    if groups > 1:
        used_groups = _number(header, "expert_group_used_count") or 0
        if experts % groups or not 0 < used_groups < groups:
            raise bad(f"{experts} experts in {groups} groups, {used_groups} of them used")


def _check_projector(header: GGUFHeader) -> None:
    for side in ("vision", "audio"):
        key = f"{side}.block_count"
        if header.get(f"clip.{key}", header.get(key)) is None:
            continue
        blocks = header.get(f"clip.{key}", header.get(key))
        if not isinstance(blocks, int) or isinstance(blocks, bool) or not 0 <= blocks <= MAX_BLOCKS:
            raise bad(f"{key} must be a whole number of at most {MAX_BLOCKS}")


# ---- vocabulary ---------------------------------------------------------------------------------------------------


def _check_vocabulary(header: GGUFHeader, path: Path) -> dict[int, bytes]:
    """Check the tokenizer's arrays against each other; the texts of the special tokens, by id."""
    if not header.text("tokenizer.ggml.model"):
        raise bad("it has no tokenizer.ggml.model")
    tokens, size = header.metadata.get("tokenizer.ggml.tokens"), header.vocabulary_size
    if not isinstance(tokens, Array) or tokens.kind != STRING or not 0 < size <= MAX_VOCABULARY:
        raise bad(f"tokenizer.ggml.tokens must be an array of 1 to {MAX_VOCABULARY} strings")
    _check_companion(header, "tokenizer.ggml.scores", (FLOAT32,), size)
    _check_companion(header, "tokenizer.ggml.token_type", (INT32, UINT32), size)
    merges = header.metadata.get("tokenizer.ggml.merges")
    if merges is not None and not (isinstance(merges, Array) and merges.kind == STRING):
        raise bad("tokenizer.ggml.merges must be an array of strings")
    special = _special_ids(header, size)
    bytes_ = _byte_tokens(header, path)
    if bytes_ and header.text("tokenizer.ggml.model") == "bert":
        raise bad("byte tokens, which a tokenizer.ggml.model of bert cannot have")
    texts = tokens.strings_at(path, special | bytes_)
    for i in bytes_:
        if not _BYTE.match(texts[i]):
            raise bad(f"byte token {i} must read like <0x0A>")
    return {i: texts[i] for i in special}


def _check_companion(header: GGUFHeader, key: str, kinds: tuple[int, ...], size: int) -> None:
    """An array that llama.cpp reads beside the tokens without looking at its type or length."""
    value = header.metadata.get(key)
    if value is None:
        return
    if not isinstance(value, Array) or value.kind not in kinds or len(value) != size:
        raise bad(f"{key} must be an array of {size} {TYPE_NAMES[kinds[0]]}, one for each token")


def _special_ids(header: GGUFHeader, size: int) -> set[int]:
    ids = set()
    for name in ("bos", "eos"):
        key = f"tokenizer.ggml.{name}_token_id"
        value = header.metadata.get(key, NO_TOKEN)
        if value == NO_TOKEN:
            continue
        if header.kinds[key] != UINT32 or not isinstance(value, int) or value >= size:
            raise bad(f"{key} must be a uint32 below the vocabulary's size {size}")
        ids.add(value)
    return ids


def _byte_tokens(header: GGUFHeader, path: Path) -> set[int]:
    types = header.metadata.get("tokenizer.ggml.token_type")
    if not isinstance(types, Array):
        return set()
    numbers = array("i")
    numbers.frombytes(types.raw(path))
    if sys.byteorder == "big":
        numbers.byteswap()
    return {i for i, kind in enumerate(numbers) if kind == BYTE_TOKEN}
