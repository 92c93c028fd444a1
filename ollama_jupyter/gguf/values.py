"""The values of a header's key-value pairs: scalars, and arrays of which only the short ones are kept."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ollama_jupyter.gguf.cursor import MAX_STRING, MAX_TOKEN, Cursor, bad
from ollama_jupyter.gguf.tables import ARRAY, BOOL, SCALARS, STRING, TYPE_NAMES, WIDTHS

MAX_ITEMS = 64 << 20
SHORT = 1024
"""Arrays of up to this many items are kept; the longest that we look at hold one number per layer."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array in a file: the type and number of its items, the offset in bytes of the first, the items if few."""

    kind: int
    length: int
    offset: int
    items: tuple[Any, ...] | None = None

    @property
    def item_type(self) -> str:
        return TYPE_NAMES[self.kind]

    def __len__(self) -> int:
        return self.length

    def read(self, path: Path) -> tuple[Any, ...]:
        """All items, in order, from the file that the header was read from."""
        if self.items is not None:
            return self.items
        with path.open("rb") as file:
            return _items(Cursor(file, path.stat().st_size, self.offset), self.kind, self.length)

    def raw(self, path: Path) -> bytes:
        """The items of a number array as they lie in the file, little-endian."""
        with path.open("rb") as file:
            return Cursor(file, path.stat().st_size, self.offset).take(self.length * WIDTHS[self.kind])

    def strings_at(self, path: Path, indexes: Iterable[int]) -> dict[int, bytes]:
        """The strings at these indexes, as bytes; indexes outside are left out."""
        wanted = {i for i in indexes if 0 <= i < self.length}
        if self.kind != STRING or not wanted:
            return {}
        with path.open("rb") as file:
            cursor = Cursor(file, path.stat().st_size, self.offset)
            lengths = cursor.string_lengths(max(wanted) + 1, MAX_STRING)
            places = {i: place for i, place in enumerate(lengths) if i in wanted}
            return {i: cursor.at(position, length) for i, (position, length) in places.items()}


Value: TypeAlias = str | int | float | bool | Array


def read_value(cursor: Cursor, key: str) -> tuple[int, Value]:
    """The type number and the value that follow a key.

    Raises:
        InvalidGGUF: for an unknown type, a nested array, or a length that the file cannot hold.
    """
    kind = cursor.u32()
    if kind == ARRAY:
        return kind, _read_array(cursor, key)
    if kind == STRING:
        return kind, cursor.string().decode("utf-8", "replace")
    if kind not in SCALARS:
        raise bad(f"key {key!r} has the unknown type {kind}")
    return kind, _items(cursor, kind, 1)[0]


def _read_array(cursor: Cursor, key: str) -> Array:
    kind, count = cursor.u32(), cursor.u64()
    if kind == ARRAY:
        raise bad(f"key {key!r} is an array of arrays")
    if kind != STRING and kind not in SCALARS:
        raise bad(f"key {key!r} is an array of the unknown type {kind}")
    if count > MAX_ITEMS or count * WIDTHS.get(kind, 8) > cursor.left:
        raise bad(f"key {key!r} declares {count} items, more than the file holds or the {MAX_ITEMS} allowed")
    start = cursor.position
    if count <= SHORT and key != "tokenizer.ggml.tokens":
        return Array(kind, count, start, _items(cursor, kind, count))
    if kind == STRING:
        cursor.skip_strings(count, MAX_TOKEN if key == "tokenizer.ggml.tokens" else MAX_STRING)
    else:
        cursor.skip(count * WIDTHS[kind])
    return Array(kind, count, start)


def _items(cursor: Cursor, kind: int, count: int) -> tuple[Any, ...]:
    if kind == STRING:
        return tuple(cursor.string().decode("utf-8", "replace") for _ in range(count))
    values = struct.unpack(f"<{count}{SCALARS[kind]}", cursor.take(count * WIDTHS[kind]))
    return tuple(map(bool, values)) if kind == BOOL else values
