"""The header of a GGUF under suspicion: metadata and tensors. What could harm llama.cpp is refused elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ollama_jupyter.gguf import Array, GGUFHeader
from ollama_jupyter.library.scan.templates import jinja
from ollama_jupyter.library.scan.texts import addresses, invisible, listed, quoted, shortened
from ollama_jupyter.reports import Finding

WHERE = "header"
LONG_TEXT = 64 << 10
"""Characters of one value; licenses and chat templates are the longest that are usual."""

_GROUPS = ("general", "tokenizer", "split", "adapter", "clip", "quantize", "imatrix", "mtmd", "vision", "audio")
_KEY = re.compile(r"[A-Za-z0-9_.\-/]{1,128}\Z")
_TENSOR = re.compile(r"[A-Za-z0-9_.\-/:]{1,63}\Z")
_TEMPLATE = re.compile(r"tokenizer\.chat_template(?:\.|$)")
# Lists of numbers as raw bytes belong to the tokenizers of these.
_KNOWN_BYTES = ("tokenizer.ggml.precompiled_charsmap",)


def scan_header(header: GGUFHeader) -> Iterator[Finding]:
    """What is odd about a header, its chat templates included."""
    yield from _keys(header)
    for key, value in header.metadata.items():
        if isinstance(value, str):
            yield from _text(key, value)
        elif isinstance(value, Array):
            yield from _array(key, value)
    yield from _links(header)
    yield from _tensors(header)


def _keys(header: GGUFHeader) -> Iterator[Finding]:
    if odd := [key for key in header.metadata if not _KEY.match(key)]:
        what = f"keys with unusual names: {listed(quoted(key, 40) for key in odd)}"
        yield Finding("warning", WHERE, what, "no known program writes such")
    groups = {*_GROUPS, header.architecture}
    foreign = sorted({key.partition(".")[0] for key in header.metadata if key not in odd} - groups)
    if foreign:
        what = f"keys of unknown groups: {listed(shortened(group, 40) for group in foreign)}"
        yield Finding("info", WHERE, what, "this program does not read them; another may")


def _text(key: str, value: str) -> Iterator[Finding]:
    if _TEMPLATE.match(key):
        yield from jinja("chat template" if key == "tokenizer.chat_template" else quoted(key, 60), value)
        return
    where = f"{WHERE}, {shortened(key, 60)}"
    yield from invisible(where, value)
    if len(value) > LONG_TEXT:
        yield Finding("warning", where, f"a text of {len(value)} characters", "metadata are no place for so much")


def _array(key: str, value: Array) -> Iterator[Finding]:
    where = f"{WHERE}, {shortened(key, 60)}"
    if value.item_type in ("uint8", "int8") and len(value) > 1024 and key not in _KNOWN_BYTES:
        yield Finding("warning", where, f"{len(value)} raw bytes", "they may hold anything")
    if value.item_type == "string" and value.items and not key.startswith("tokenizer."):
        yield from invisible(where, "\n".join(map(str, value.items)))


def _links(header: GGUFHeader) -> Iterator[Finding]:
    """Model cards name where a model comes from, so addresses are no news except in odd places."""
    texts = [v for k, v in header.metadata.items() if isinstance(v, str) and not _TEMPLATE.match(k)]
    found = [address for text in texts for address in addresses(text)]
    if found:
        yield Finding("info", WHERE, f"names addresses: {listed(dict.fromkeys(found))}", "nothing is fetched from them")


def _tensors(header: GGUFHeader) -> Iterator[Finding]:
    if odd := [tensor.name for tensor in header.tensors if not _TENSOR.match(tensor.name)]:
        what = f"tensors with unusual names: {listed(quoted(name, 40) for name in odd)}"
        yield Finding("warning", WHERE, what, "no known program writes such")
    end = max((tensor.offset + tensor.nbytes for tensor in header.tensors), default=header.data_offset)
    behind = header.file_size - end
    if behind > max(header.alignment, 64):
        yield Finding("warning", WHERE, f"{behind} bytes behind the last tensor", "they may hold anything")
