"""Reads and checks a header: the structure here, the meaning in checks.py."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import BinaryIO

from ollama_jupyter.errors import InvalidGGUF
from ollama_jupyter.gguf.checks import check_header
from ollama_jupyter.gguf.cursor import Cursor, bad
from ollama_jupyter.gguf.header import GGUFHeader, Tensor
from ollama_jupyter.gguf.tables import REMOVED_TENSOR_TYPES, TENSOR_TYPES, UINT32
from ollama_jupyter.gguf.values import Value, read_value

MAX_KEYS = 16_384
MAX_TENSORS = 65_536
MAX_KEY = 65_535
MAX_TENSOR_NAME = 63
MAX_DIMS = 4
DEFAULT_ALIGNMENT = 32
_I63 = 2**63 - 1


def read_header(path: Path) -> GGUFHeader:
    """Read and check the header of the GGUF file at `path`.

    Raises:
        InvalidGGUF: with a reason that names no path, for anything that llama.cpp could not load or would die of.
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        header = _read(file, path.stat().st_size)
    return check_header(header, path)


def _read(file: BinaryIO, size: int) -> GGUFHeader:
    cursor = Cursor(file, size)
    version = _read_version(cursor)
    tensor_count, key_count = cursor.u64(), cursor.u64()
    # The least that a key (length, one byte, type, one byte) and a tensor (length, dims, type, offset) take.
    if key_count > min(MAX_KEYS, cursor.left // 14):
        raise bad(f"{key_count} keys, more than the file holds or the {MAX_KEYS} allowed")
    if tensor_count > min(MAX_TENSORS, cursor.left // 24):
        raise bad(f"{tensor_count} tensors, more than the file holds or the {MAX_TENSORS} allowed")
    metadata, kinds = _read_metadata(cursor, key_count)
    alignment = _alignment(metadata, kinds)
    specs = _read_tensors(cursor, tensor_count)
    data = _pad(cursor.position, alignment)
    tensors = _place_tensors(specs, data, alignment, size)
    return GGUFHeader(version, size, alignment, data, metadata, kinds, tensors)


def _read_version(cursor: Cursor) -> int:
    if cursor.left < 4 or cursor.take(4) != b"GGUF":
        raise InvalidGGUF("supplied file was not in GGUF format")
    version = cursor.u32()
    if version & 0xFFFF == 0 and version:
        raise bad("it is big-endian; only little-endian files can be loaded")
    if version == 1:
        raise bad("version 1 is no longer supported, convert the model anew")
    if version not in (2, 3):
        raise bad(f"version {version}; versions 2 and 3 are supported")
    return version


def _read_metadata(cursor: Cursor, count: int) -> tuple[dict[str, Value], dict[str, int]]:
    metadata: dict[str, Value] = {}
    kinds: dict[str, int] = {}
    for _ in range(count):
        key = _text(cursor.string(MAX_KEY), "a key")
        if not key or key in metadata:
            raise bad(f"the key {key!r} appears twice" if key else "an empty key")
        kinds[key], metadata[key] = read_value(cursor, key)
    return metadata, kinds


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise bad(f"{what} is not UTF-8 text") from None


def _alignment(metadata: Mapping[str, Value], kinds: Mapping[str, int]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if kinds.get("general.alignment", UINT32) != UINT32 or not isinstance(value, int):
        raise bad("general.alignment must be a uint32")
    # The upper bound keeps the padding of every tensor, which llama.cpp allocates, within reason.
    if value & (value - 1) or not 1 <= value <= 1 << 20:
        raise bad(f"general.alignment is {value}, expected a power of two up to 1048576")
    return value


_Spec = tuple[str, int, tuple[int, ...], int]


def _read_tensors(cursor: Cursor, count: int) -> list[_Spec]:
    """Name, type number, shape and declared offset of each tensor."""
    specs: list[_Spec] = []
    names: set[str] = set()
    for _ in range(count):
        name = _text(cursor.string(MAX_TENSOR_NAME), "a tensor's name")
        if name in names or not name or "\0" in name:
            raise bad(f"the tensor name {name!r} is empty, repeated, or holds a NUL")
        names.add(name)
        dims = cursor.u32()
        if dims > MAX_DIMS:
            raise bad(f"tensor {name!r} has {dims} dimensions, more than {MAX_DIMS}")
        shape = tuple(cursor.u64() for _ in range(dims))
        specs.append((name, cursor.u32(), shape, cursor.u64()))
    return specs


def _place_tensors(specs: list[_Spec], data: int, alignment: int, size: int) -> tuple[Tensor, ...]:
    """Check that each tensor lies behind the one before it, aligned, and inside the file, as llama.cpp demands."""
    tensors = []
    expected = 0
    for name, number, shape, offset in specs:
        kind, nbytes = _tensor_size(name, number, shape)
        if offset != expected:
            raise bad(f"tensor {name!r} is at offset {offset}, expected {expected}")
        if data + offset + nbytes > size:
            raise bad(f"tensor {name!r} runs past the end of the file")
        expected = _pad(offset + nbytes, alignment)
        tensors.append(Tensor(name, kind, shape, data + offset, nbytes))
    return tuple(tensors)


def _tensor_size(name: str, number: int, shape: tuple[int, ...]) -> tuple[str, int]:
    """Type name and bytes of a tensor."""
    if number in REMOVED_TENSOR_TYPES:
        raise bad(f"tensor {name!r} is of type {number}, which llama.cpp has removed")
    if number not in TENSOR_TYPES:
        raise bad(f"tensor {name!r} is of the unknown type {number}")
    kind = TENSOR_TYPES[number]
    if any(not 0 < length <= _I63 for length in shape) or prod(shape) >= _I63:
        raise bad(f"tensor {name!r} has a dimension of 0 or too many elements")
    row = shape[0] if shape else 1
    if row % kind.block:
        raise bad(f"tensor {name!r} has rows of {row} elements, not a multiple of {kind.name}'s block of {kind.block}")
    return kind.name, prod(shape) // kind.block * kind.size


def _pad(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) & -alignment
