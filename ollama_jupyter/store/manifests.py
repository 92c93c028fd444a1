"""Manifests: small JSON files, one for each model name, that say which blobs a model is made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from ollama_jupyter.errors import InvalidDigest
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store import gojson
from ollama_jupyter.store.blobs import digests_in
from ollama_jupyter.store.files import write_atomically

log = logging.getLogger("ollama_jupyter.store")

MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
MAX_BYTES = 4 << 20
MAX_SIZE = 1 << 47
"""Bytes of a layer. As many as a manifest has room for are together no more than 64 bits can count, as clients do."""

_DIGESTS = re.compile(rb"sha256:([0-9a-f]{64})")


class CorruptManifest(ValueError):
    """A manifest file that cannot be read; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob and what it is for. `from_` is the model, or the uploaded file, that it came from."""

    media_type: str
    digest: Digest
    size: int
    from_: str = ""
    name: str = ""

    @property
    def role(self) -> str:
        """The last word of the media type: `model`, `template`, `params`..."""
        return self.media_type.rpartition(LAYER_TYPE)[2]

    @classmethod
    def parse(cls, data: object) -> Layer:
        if not isinstance(data, dict):
            raise CorruptManifest("a layer is not an object")
        kind, size = data.get("mediaType"), data.get("size")
        if not isinstance(kind, str) or isinstance(size, bool) or not isinstance(size, int):
            raise CorruptManifest("a layer has no media type or no size")
        if not 0 <= size <= MAX_SIZE:
            raise CorruptManifest("a layer has a size that no file can have")
        try:
            digest = Digest.parse(str(data.get("digest")))
        except InvalidDigest:
            raise CorruptManifest("a layer has no valid digest") from None
        return cls(kind, digest, size, str(data.get("from") or ""), str(data.get("name") or ""))

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        return data | {key: text for key, text in (("from", self.from_), ("name", self.name)) if text}


@dataclass(frozen=True)
class Manifest:
    """What a model is made of. `raw` are the file's bytes, `modified_at` its time of change (0 if it has no file)."""

    config: Layer
    layers: tuple[Layer, ...]
    raw: bytes
    modified_at: float = 0.0

    @classmethod
    def build(cls, config: Layer, layers: tuple[Layer, ...]) -> Manifest:
        """A new manifest, its bytes as Ollama's create writes them."""
        data = {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        return cls(config, layers, gojson.encode(data))

    @classmethod
    def parse(cls, raw: bytes, modified_at: float = 0.0) -> Manifest:
        """Read a manifest's bytes.

        Raises:
            CorruptManifest: if they are not a manifest.
        """
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            raise CorruptManifest("not JSON") from None
        listed = data.get("layers", False) if isinstance(data, Mapping) else False
        if not isinstance(listed, (list, NoneType)):
            raise CorruptManifest("no list of layers")
        layers = tuple(map(Layer.parse, listed or ()))
        return cls(Layer.parse(data.get("config")), layers, raw, modified_at)

    @cached_property
    def digest(self) -> str:
        """The model's digest: sha256 of the manifest file, as bare hex."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all layers and the config."""
        return self.config.size + sum(layer.size for layer in self.layers)

    @property
    def digests(self) -> frozenset[Digest]:
        return frozenset((self.config.digest, *(layer.digest for layer in self.layers)))

    def by_role(self, *roles: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.role in roles]


class Manifests:
    """The folder `manifests/` below the models folder, made on the first write, and those of the shared folders.

    A name of one's own shadows the same name of a shared folder. Nothing is written to the shared ones.
    """

    def __init__(self, models: Path, shared: Sequence[Path] = ()) -> None:
        self._models = models
        self._shared = tuple(shared)

    def get(self, name: ModelName) -> Manifest | None:
        """The manifest of exactly this spelling (see `canonical`), or None where there is none.

        Raises:
            CorruptManifest: if the file is there and cannot be read.
        """
        own = self._load(name.manifest_path(self._models))
        if own is not None:
            return own
        for folder in self._shared:
            with contextlib.suppress(OSError):
                if found := self._load(name.manifest_path(folder)):
                    return found
        return None

    def is_own(self, name: ModelName) -> bool:
        """Whether exactly this name has a manifest in the folder that is written."""
        return name.manifest_path(self._models).is_file()

    def _load(self, path: Path) -> Manifest | None:
        try:
            return self._read(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def _read(self, path: Path) -> Manifest:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise CorruptManifest(f"larger than {MAX_BYTES} bytes")
        return Manifest.parse(raw, path.stat().st_mtime)

    def put(self, name: ModelName, manifest: Manifest) -> None:
        """Publish `manifest` under exactly this spelling of the name, replacing what was there."""
        path = name.manifest_path(self._models)
        try:
            write_atomically(manifest.raw, path, folder=self._models / "partial")
        except FileNotFoundError:  # another process pruned the empty folder between its making and the rename
            write_atomically(manifest.raw, path, folder=self._models / "partial")

    def delete(self, name: ModelName) -> None:
        """Remove one's own manifest of this name, and the folders that it leaves empty."""
        path = name.manifest_path(self._models)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the first folder that is not empty ends it
            for folder in list(path.parents)[:3]:
                folder.rmdir()

    def names(self) -> list[ModelName]:
        """Every name that has a manifest file, corrupt or not; strangers' files are left out."""
        found = self.names_in(self._models)
        for folder in self._shared:
            taken = {name.folded for name in found}
            found += [name for name in self.names_in(folder) if name.folded not in taken]
        return sorted(found, key=lambda name: name.parts)

    def names_in(self, folder: Path) -> list[ModelName]:
        """The names of one of the models folders."""
        found = (ModelName.from_manifest_path(folder, path) for path in self._files(folder))
        return [name for name in found if name]

    def _files(self, models: Path) -> list[Path]:
        """The files four levels down. Folders may vanish meanwhile; one of our own that may not be read is an error,
        because what it names would seem to be named by nobody."""
        found = []
        root = models / "manifests"
        for folder, folders, names in os.walk(
            root, onerror=_unless_gone if models == self._models else None, followlinks=True
        ):
            if len(Path(folder).relative_to(root).parts) == 3:
                folders.clear()
                found += [Path(folder, name) for name in names]
        return found

    def list(self) -> list[tuple[ModelName, Manifest]]:
        """Every manifest that can be read. The others are skipped, with a line in the log."""
        found = []
        for name in self.names():
            try:
                manifest = self.get(name)
            except (CorruptManifest, OSError) as error:
                log.warning("skipping the manifest of %s: %s", name, error)
                continue
            if manifest:
                found.append((name, manifest))
        return found

    def canonical(self, name: ModelName) -> ModelName:
        """The stored spelling of `name`, which is compared without regard to case.

        A manifest that matches as a whole wins. Else each part takes the spelling that any manifest gives it, so that
        a new tag of a stored model lands in the same folder.
        """
        if _is_listed(name, self._models):  # the usual case, for which no folder is walked, nor the network asked
            return name
        own = sorted(self.names_in(self._models), key=lambda other: other.parts)
        whole = next((other for other in own if name.same_as(other)), None)
        if whole or any(_is_listed(name, folder) for folder in self._shared):
            return whole or name
        stored = self.names()
        whole = next((other for other in stored if name.same_as(other)), None)
        if whole:
            return whole
        parts = [_respell(part, {other.parts[i] for other in stored}) for i, part in enumerate(name.parts)]
        return ModelName(*parts)

    def referenced(self) -> set[Digest]:
        """Every digest that some manifest names. Of a manifest that cannot be read, every digest in its text counts.

        Of what the shared manifests name, only what their own folders lack: the rest is not needed from here.
        """
        present = {digest for folder in self._shared for digest in digests_in(folder)}
        shared = {digest for folder in self._shared for digest in self._named_in(folder)}
        return self._named_in(self._models) | (shared - present)

    def _named_in(self, models: Path) -> set[Digest]:
        digests: set[Digest] = set()
        for path in self._files(models):
            with contextlib.suppress(OSError):
                digests.update(Digest(match.decode()) for match in _DIGESTS.findall(path.read_bytes()))
        return digests


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _is_listed(name: ModelName, models: Path) -> bool:
    """Whether a models folder has a manifest of exactly this spelling; also where the file system ignores case."""
    path = models / "manifests"
    try:
        for part in name.parts:
            if not any(entry.name == part for entry in path.iterdir()):
                return False
            path /= part
        return path.is_file()
    except OSError:  # not there
        return False


def _respell(part: str, spellings: set[str]) -> str:
    if part in spellings:
        return part
    return next((other for other in sorted(spellings) if other.lower() == part.lower()), part)
