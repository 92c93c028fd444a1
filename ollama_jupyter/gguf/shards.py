"""Models split into several files. The first holds all metadata; each says which it is, of how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ollama_jupyter.gguf.cursor import bad
from ollama_jupyter.gguf.header import GGUFHeader
from ollama_jupyter.gguf.tables import INT32, TYPE_NAMES, UINT16

_KINDS = {"split.no": UINT16, "split.count": UINT16, "split.tensors.count": INT32}


def check_shard(header: GGUFHeader) -> None:
    """The keys of a shard are of the types that llama.cpp reads, and its number is one of the set.

    Raises:
        InvalidGGUF: naming the key.
    """
    for key, kind in _KINDS.items():
        if header.kinds.get(key) != kind:
            raise bad(f"{key} must be an {TYPE_NAMES[kind]}")
    if not 0 <= header.split_number < header.split_count:
        raise bad(f"shard number {header.split_number} of {header.split_count}, which are counted from 0")


def order(headers: Sequence[GGUFHeader]) -> list[int]:
    """The indexes of these shards in the order of their numbers, if they are one whole set.

    Raises:
        InvalidGGUF: saying which is missing or there twice.
    """
    counts = sorted({header.split_count for header in headers})
    if len(counts) > 1:
        raise bad(f"shards of different sets: one of {counts[0]} files, one of {counts[-1]}")
    there = Counter(header.split_number for header in headers)
    for number in range(counts[0]):
        if there[number] != 1:
            found = f"there {there[number]} times" if there[number] else "missing"
            raise bad(f"shard {number + 1} of {counts[0]} is {found}")
    return sorted(range(len(headers)), key=lambda i: headers[i].split_number)


def join(headers: Sequence[GGUFHeader]) -> GGUFHeader:
    """One header for shards in order: the first's metadata, everybody's tensors, the size of all files.

    The tensors' offsets count from the start of the file that each is in.

    Raises:
        InvalidGGUF: if the shards do not belong together.
    """
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    promised = headers[0].get("split.tensors.count")
    if len(tensors) != promised:
        raise bad(f"its shards hold {len(tensors)} tensors, where {promised} are promised")
    twice = [name for name, count in Counter(tensor.name for tensor in tensors).items() if count > 1]
    if twice:
        raise bad(f"tensor {twice[0]!r} is in two shards")
    return replace(headers[0], tensors=tensors, file_size=sum(header.file_size for header in headers))
