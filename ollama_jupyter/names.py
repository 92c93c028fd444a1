"""Model names and blob digests: parsed once at the edge, and the only place where either becomes a path.

A name is `[scheme://][host/][namespace/]model[:tag]`, ASCII only. It is split from the right: the tag at the last
`:` behind the last `/`, then model, namespace, and the rest is the host. Missing parts take Ollama's defaults. Ollama
takes hosts of up to 350 characters, but no common file system takes a folder name of more than 255.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from ollama_jupyter.errors import InvalidDigest, InvalidName

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")
_TAG = _MODEL
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})\Z")
_BLOB = re.compile(r"sha256-[0-9a-f]{64}\Z")


def _split(text: str) -> tuple[str, str, str, str]:
    """Host, namespace, model and tag of a text, which need not be valid, with the defaults filled in."""
    rest = text.strip().split("://", 1)[-1]
    tag = DEFAULT_TAG
    colon = rest.rfind(":")
    if colon > rest.rfind("/"):
        rest, tag = rest[:colon], rest[colon + 1 :]
    parts = rest.rsplit("/", 2)
    host, namespace, model = [DEFAULT_HOST, DEFAULT_NAMESPACE][: 3 - len(parts)] + parts
    return host, namespace, model, tag


def spelled_out(text: str) -> str:
    """A text in the full form of a model name, for messages about what is none."""
    host, namespace, model, tag = _split(text)
    return f"{host}/{namespace}/{model}:{tag}"


@dataclass(frozen=True, slots=True)
class ModelName:
    """A fully qualified, valid model name. Compare with `same_as`: names are case-insensitive, case-preserving."""

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, text: str, *, error: str = "invalid model name") -> ModelName:
        """Parse `text`, filling in the defaults.

        Raises:
            InvalidName: with the message `error`, if any part breaks the grammar.
        """
        name = cls(*_split(text))
        if not name._is_valid():
            raise InvalidName(error)
        return name

    def _is_valid(self) -> bool:
        return bool(
            _HOST.match(self.host)
            and _NAMESPACE.match(self.namespace)
            and _MODEL.match(self.model)
            and _TAG.match(self.tag)
        )

    @property
    def display(self) -> str:
        """The shortest form that people know: the default host is dropped, and `library` with it; the tag stays."""
        if self.host != DEFAULT_HOST:
            return self.qualified
        if self.namespace != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def qualified(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Host, namespace, model, tag: the four folders and file names below `manifests/`."""
        return (self.host, self.namespace, self.model, self.tag)

    @property
    def folded(self) -> tuple[str, ...]:
        """The parts as names are compared: without regard to case."""
        return tuple(part.lower() for part in self.parts)

    def same_as(self, other: ModelName) -> bool:
        return self.folded == other.folded

    def manifest_path(self, models: Path) -> Path:
        """Where this name's manifest lies below the models folder. Safe by the grammar: no part has `/` or is `..`."""
        return models.joinpath("manifests", *self.parts)

    @classmethod
    def from_manifest_path(cls, models: Path, path: Path) -> ModelName | None:
        """The name whose manifest `path` is, or None for a stranger's file."""
        parts = path.relative_to(models / "manifests").parts
        if len(parts) != 4:
            return None
        name = cls(*parts)
        return name if name._is_valid() else None

    def __str__(self) -> str:
        return self.display


@dataclass(frozen=True, slots=True)
class Digest:
    """The sha256 of a blob, as 64 lower-case hex digits."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parse `sha256:<hex>` or `sha256-<hex>`, any case.

        Raises:
            InvalidDigest: for anything else.
        """
        match = _DIGEST.match(text)
        if match is None:
            raise InvalidDigest("invalid digest format")
        return cls(match.group(1).lower())

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of these bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def from_blob_path(cls, path: Path) -> Digest | None:
        """The digest that a file in `blobs/` is named by, or None for a stranger's file."""
        return cls(path.name[7:]) if _BLOB.match(path.name) else None

    @property
    def short(self) -> str:
        """The first 12 hex digits, as progress lines and tables show it."""
        return self.hex[:12]

    def blob_path(self, models: Path) -> Path:
        return models / "blobs" / f"sha256-{self.hex}"

    def partial_path(self, models: Path) -> Path:
        """Where the blob lies while it is on its way from a registry; its journal lies beside it."""
        return models / "partial" / f"sha256-{self.hex}.part"

    def __str__(self) -> str:
        return f"sha256:{self.hex}"
