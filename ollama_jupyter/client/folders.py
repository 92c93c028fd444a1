"""Which files of a folder make up a model, by the rules of Ollama's client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ollama_jupyter.client.errors import OllamaError

_SNIFFED = 512
_ZIP, _BINARY, _TEXT = "application/zip", "application/octet-stream", "text/plain"
_SIGNATURES = (
    (b"PK\x03\x04", _ZIP),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"%PDF-", "application/pdf"),
    (b"<?xml", "text/xml"),
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
)
_CONTROLS = frozenset([*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)])

# The first of these that a folder has are its weights. Where a type is asked for, a file of another (a pointer that
# Git LFS left instead of the weights, say) makes the whole row count as missing.
_WEIGHTS = (
    (("model*.safetensors", "*/model*.safetensors"), ""),
    (("consolidated*.safetensors",), ""),
    (("adapter*.safetensors",), ""),
    (("pytorch_model*.bin",), _ZIP),
    (("consolidated*.pth",), _ZIP),
    (("*.gguf",), _BINARY),
    (("*.bin",), _BINARY),
)
# Hugging Face's cache is made of links that lead out of the folder.
_CACHED = "\n\nUse --local-dir <dir> when downloading model to disable caching"
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.gguf\Z")


def files_of(path: Path) -> list[Path]:
    """The model files that `path` stands for: its choice of a folder's, all shards of a split GGUF, else itself.

    Raises:
        FileNotFoundError: if nothing is there.
        OllamaError: if a folder has no weights, a file of another type than its name says, or a link that leads out.
    """
    if path.is_dir():
        weights = _weights(path)
        # A GGUF has everything in itself: what lies beside it is for other programs, and no server takes it.
        is_complete = _is_gguf(weights[0])
        return _inside(path, weights if is_complete else [*weights, *_companions(path)])
    path.stat()
    return _shards(path)


def _weights(folder: Path) -> list[Path]:
    for (first, *others), wanted in _WEIGHTS:
        found = _matching(folder, first)
        if found and all(not wanted or sniff(file) == wanted for file in found):
            return found + [file for pattern in others for file in _matching(folder, pattern)]
    raise OllamaError("no Modelfile or safetensors files found")


def _is_gguf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"GGUF"


def _companions(folder: Path) -> Iterator[Path]:
    """Configuration and tokenizer."""
    for pattern in ("*.json", "*/*.json", "chat_template.jinja"):
        for file in _matching(folder, pattern):
            if sniff(file) != _TEXT:
                # The type in this message is the one that was found; clients of Ollama know it so.
                raise OllamaError(f"invalid content type: expected {sniff(file)} for {file}")
            yield file
    for pattern, wanted in (("tokenizer.model", _BINARY), ("*/tokenizer.model", _TEXT)):
        found = [file for file in _matching(folder, pattern) if sniff(file) == wanted]
        if found:
            yield from found
            return


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if file.is_file())


def sniff(file: Path) -> str:
    """The type of a file by its first bytes, as browsers and Go's library guess it; only the types that matter here."""
    with file.open("rb") as stream:
        head = stream.read(_SNIFFED)
    start = head.lstrip(b"\t\n\x0c\r ").lower()
    for signature, kind in _SIGNATURES:
        if head.startswith(signature) or (kind.startswith("text/") and start.startswith(signature)):
            return kind
    return _BINARY if _CONTROLS.intersection(head) else _TEXT


def _inside(folder: Path, files: list[Path]) -> list[Path]:
    """The files with links followed, none of which may lead out of the folder."""
    root = folder.resolve()
    resolved = []
    for file in files:
        target = file.resolve()
        if not target.is_relative_to(root):
            raise OllamaError(
                f"insecure path: {os.path.relpath(target, root)}{_CACHED if '.cache' in str(target) else ''}"
            )
        resolved.append(target)
    return list(dict.fromkeys(resolved))


def _shards(file: Path) -> list[Path]:
    """All parts of a split GGUF if this is one of them, and they are here."""
    match = _SHARD.fullmatch(file.name)
    if match is None:
        return [file]
    count = int(match["count"])
    parts = [file.with_name(f"{match['stem']}-{at:05}-of-{count:05}.gguf") for at in range(1, count + 1)]
    return parts if count <= 1000 and all(part.is_file() for part in parts) else [file]
