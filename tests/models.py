"""Tiny models for tests: real GGUF files that llama.cpp loads in milliseconds, and raw bytes of malformed ones."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
WORDS = " the of and to in is that it for was on are as with his they at be this from have or by one had not but"

_TYPES = {
    "uint8": (0, "B"), "int8": (1, "b"), "uint16": (2, "H"), "int16": (3, "h"), "uint32": (4, "I"), "int32": (5, "i"),
    "float32": (6, "f"), "bool": (7, "?"), "uint64": (10, "Q"), "int64": (11, "q"), "float64": (12, "d"),
}  # fmt: skip


def tiny_vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and types of a SentencePiece vocabulary of 300 and some: special, bytes, letters, words."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [2, 3, 3] + [6] * 256
    for piece in [chr(code) for code in range(97, 123)] + ["\u2581"] + ["\u2581" + w for w in WORDS.split()]:
        tokens.append(piece)
        types.append(1)
    return tokens, [0.0] * 3 + [-float(i) for i in range(len(tokens) - 3)], types


def write_tiny_gguf(
    path: Path,
    *,
    layers: int = 2,
    embedding: int = 32,
    heads: int = 4,
    heads_kv: int = 2,
    feed_forward: int = 64,
    context: int = 512,
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
    metadata: Mapping[str, Any] | None = None,
    shard_tensors: int = 0,
    deltas: Mapping[str, Any] | None = None,
) -> Path:
    """Write a llama model of random F32 weights. `metadata` adds or replaces keys: ints, floats, strings, bools, lists.

    The same arguments give the same bytes. About 150 KB; loads in llama.cpp and generates noise. With `shard_tensors`
    it is split into files of so many tensors, beside `path`. `deltas` are added to the tensors that they name.
    """
    import gguf
    import numpy as np

    tokens, scores, types = tiny_vocabulary()
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=shard_tensors)
    writer.add_name("tiny")
    writer.add_file_type(0)
    writer.add_block_count(layers)
    writer.add_context_length(context)
    writer.add_embedding_length(embedding)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads_kv)
    writer.add_rope_dimension_count(embedding // heads)
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
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for key, value in (metadata or {}).items():
        _add(writer, key, value)
    rng = np.random.default_rng(seed)
    for name, shape in _shapes(layers, embedding, heads, heads_kv, feed_forward, len(tokens)).items():
        if name.endswith("norm.weight"):
            data = np.ones(shape, dtype=np.float32)
        else:
            data = rng.normal(0, 0.2, shape).astype(np.float32)
        writer.add_tensor(name, data + deltas[name] if deltas and name in deltas else data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tiny_lora(
    path: Path, tensors: Mapping[str, tuple[Any, Any]], *, alpha: float = 4.0, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write a LoRA for the tensors of a model: the matrices A (rank x in) and B (out x rank) of each."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for key, value in (metadata or {}).items():
        _add(writer, key, value)
    for name, (a, b) in tensors.items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: Any, key: str, value: Any) -> None:
    import gguf

    for data in writer.kv_data:
        data.pop(key, None)
    kind = {bool: gguf.GGUFValueType.BOOL, int: gguf.GGUFValueType.UINT32, float: gguf.GGUFValueType.FLOAT32}
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, (list, tuple)):
        writer.add_array(key, value)
    else:
        writer.add_key_value(key, value, kind[type(value)])


def _shapes(
    layers: int, embedding: int, heads: int, heads_kv: int, feed_forward: int, vocabulary: int
) -> dict[str, tuple[int, ...]]:
    shared = embedding // heads * heads_kv
    block = {
        "attn_norm": (embedding,),
        "attn_q": (embedding, embedding),
        "attn_k": (shared, embedding),
        "attn_v": (shared, embedding),
        "attn_output": (embedding, embedding),
        "ffn_norm": (embedding,),
        "ffn_gate": (feed_forward, embedding),
        "ffn_up": (feed_forward, embedding),
        "ffn_down": (embedding, feed_forward),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, embedding),
        "output_norm.weight": (embedding,),
    }
    for layer in range(layers):
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    return shapes


# ---- raw bytes, valid or not --------------------------------------------------------------------------------------


def gguf_string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(kind: str, value: Any) -> bytes:
    """A typed value: `kind` is a scalar's type name, "string", or "[kind]" for an array."""
    if kind == "string":
        return struct.pack("<I", 8) + gguf_string(value)
    if kind.startswith("["):
        inner = kind.strip("[]")
        number = 8 if inner == "string" else _TYPES[inner][0]
        items = b"".join(gguf_value(inner, item)[4:] for item in value)
        return struct.pack("<IIQ", 9, number, len(value)) + items
    number, code = _TYPES[kind]
    return struct.pack("<I" + code, number, value)


def gguf_tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return (
        gguf_string(name)
        + struct.pack("<I", len(shape))
        + b"".join(struct.pack("<Q", length) for length in shape)
        + struct.pack("<IQ", kind, offset)
    )


def gguf_bytes(
    values: Mapping[str, bytes],
    tensors: list[bytes],
    *,
    data: int = 0,
    version: int = 3,
    magic: bytes = b"GGUF",
    key_count: int | None = None,
    tensor_count: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A GGUF file put together as told, whether it makes sense or not. `data` is the bytes of tensor data to append."""
    counts = (
        len(tensors) if tensor_count is None else tensor_count,
        len(values) if key_count is None else key_count,
    )
    head = magic + struct.pack("<IQQ", version, *counts)
    head += b"".join(gguf_string(key) + value for key, value in values.items()) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + bytes(data)


def minimal_values(**changes: bytes | None) -> dict[str, bytes]:
    """The key-value pairs of a small valid llama header. A change of None removes a key; `__` stands for a dot."""
    values = {
        "general.architecture": gguf_value("string", "llama"),
        "llama.block_count": gguf_value("uint32", 2),
        "llama.context_length": gguf_value("uint32", 512),
        "llama.embedding_length": gguf_value("uint32", 32),
        "llama.attention.head_count": gguf_value("uint32", 4),
        "llama.attention.head_count_kv": gguf_value("uint32", 2),
        "tokenizer.ggml.model": gguf_value("string", "llama"),
        "tokenizer.ggml.tokens": gguf_value("[string]", ["<unk>", "<s>", "</s>", "<0x0A>"]),
        "tokenizer.ggml.scores": gguf_value("[float32]", [0.0] * 4),
        "tokenizer.ggml.token_type": gguf_value("[int32]", [2, 3, 3, 6]),
        "tokenizer.ggml.bos_token_id": gguf_value("uint32", 1),
        "tokenizer.ggml.eos_token_id": gguf_value("uint32", 2),
    }
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            values.pop(name)
        else:
            values[name] = value
    return values


def minimal_gguf(**changes: bytes | None) -> bytes:
    """A small file that our reader takes: one F32 tensor of 32 x 4."""
    return gguf_bytes(minimal_values(**changes), [gguf_tensor("token_embd.weight", (32, 4))], data=512)
