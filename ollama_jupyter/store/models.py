"""From a name to a Model: the manifest, its small layers read, and the header of its weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ollama_jupyter.errors import BadRequest, ModelLoadError, ModelNotFound
from ollama_jupyter.gguf import GGUFHeader, join, order, read_header
from ollama_jupyter.messages import Details, Message
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.blobs import Blobs, is_file
from ollama_jupyter.store.cache import Recent
from ollama_jupyter.store.lock import StoreLock
from ollama_jupyter.store.manifests import CorruptManifest, Layer, Manifest, Manifests

log = logging.getLogger("ollama_jupyter.store")

CACHED = 64
"""Models and headers that are kept in memory, a few hundred kilobytes each."""
MAX_SMALL_LAYER = 64 << 20
"""Bytes of a template, a license or a conversation that we are ready to read whole."""


@dataclass(frozen=True)
class Model:
    """A stored model, resolved. `digest` is its manifest's (bare hex), `size` bytes of all layers, times in seconds."""

    name: ModelName
    digest: str
    weights: Path
    weights_digest: Digest
    gguf: GGUFHeader
    config: Mapping[str, Any]
    template: str | None = None
    system: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    licenses: tuple[str, ...] = ()
    adapters: tuple[Path, ...] = ()
    projectors: tuple[Path, ...] = ()
    drafts: tuple[Path, ...] = ()
    shards: tuple[Path, ...] = ()  # all files of the weights in order, where they are more than one
    parent: str = ""
    modified_at: float = 0.0
    size: int = 0

    @property
    def chat_template(self) -> str | None:
        """The GGUF's own Jinja template, or None."""
        return self.gguf.chat_template or None

    @property
    def bos(self) -> str:
        return self.gguf.bos_token

    @property
    def eos(self) -> str:
        return self.gguf.eos_token

    @property
    def infill(self) -> tuple[str, str, str] | None:
        """The texts of the tokens for filling in the middle: prefix, suffix, middle. None where it has no such."""
        return self.gguf.infill

    @property
    def family(self) -> str:
        return config_text(self.config, "model_family") or self.gguf.architecture

    @property
    def renderer(self) -> str:
        return config_text(self.config, "renderer")

    @property
    def parser(self) -> str:
        return config_text(self.config, "parser")

    @property
    def configured_capabilities(self) -> tuple[str, ...]:
        """What the config says that the model can do, beside what its files show."""
        return config_texts(self.config, "capabilities")

    @property
    def trained_ctx(self) -> int:
        """Tokens of context that the model was trained on; 0 where the file does not say."""
        return self.gguf.context_length

    @cached_property
    def details(self) -> Details:
        return details_of(self.config, self.parent, self.gguf)


def details_of(config: Mapping[str, Any], parent: str, gguf: GGUFHeader | None) -> Details:
    """The `details` block: what the config says, completed from the header where it says nothing."""
    level = config_text(config, "file_type")
    return Details(
        parent_model=parent,
        format=config_text(config, "model_format"),
        family=config_text(config, "model_family"),
        families=config_texts(config, "model_families"),
        parameter_size=config_text(config, "model_type"),
        quantization_level=gguf.file_type if gguf and level in ("", "unknown") else level,
        context_length=_number(config, "context_length") or (gguf.context_length if gguf else 0),
        embedding_length=_number(config, "embedding_length") or (gguf.embedding_length if gguf else 0),
    )


def config_text(config: Mapping[str, Any], key: str) -> str:
    """A text of a config layer, which may be anybody's: "" for anything else."""
    value = config.get(key)
    return value if isinstance(value, str) else ""


def config_texts(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The texts in a list of a config layer."""
    values = config.get(key)
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def _number(config: Mapping[str, Any], key: str) -> int:
    """A number of a config layer, as far as clients can count: 0 for anything else."""
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63 else 0


class Store:
    """The models folder, and shared folders that are only read. Every method does file work: call it from a thread, not
    from the event loop."""

    def __init__(self, models: Path, shared: Sequence[Path] = ()) -> None:
        self.models = models
        self.shared = tuple(shared)
        self.blobs = Blobs(models, self.shared)
        self.manifests = Manifests(models, self.shared)
        self.lock = StoreLock(models)
        self._headers: Recent[Digest, GGUFHeader] = Recent(CACHED)
        self._models: Recent[str, Model] = Recent(CACHED)

    def find(self, name: ModelName) -> tuple[ModelName, Manifest] | None:
        """The stored spelling of `name` and its manifest, or None.

        Raises:
            ModelLoadError: if the manifest is there and cannot be read.
        """
        stored = self.manifests.canonical(name)
        try:
            manifest = self.manifests.get(stored)
        except CorruptManifest as error:
            raise ModelLoadError(f"the manifest of model '{stored}' is corrupt: {error}") from None
        return (stored, manifest) if manifest else None

    def resolve(self, name: str | ModelName) -> Model:
        """The model of this name.

        Raises:
            InvalidName: if the text is no name.
            ModelNotFound: with the text as it was given.
            ModelLoadError: if a file of the model is missing or cannot be read.
            BadRequest: if the model has no GGUF weights, or its header is refused.
        """
        parsed = ModelName.parse(name) if isinstance(name, str) else name
        found = self.find(parsed)
        if found is None:
            raise ModelNotFound(str(name))
        stored, manifest = found
        model = self._models.get(manifest.digest)
        if model is None or not is_file(model.weights):
            model = self._load(stored, manifest)
            self._models.put(manifest.digest, model)
        return replace(model, name=stored, modified_at=manifest.modified_at)

    def _load(self, name: ModelName, manifest: Manifest) -> Model:
        config = self.config(manifest)
        if not manifest.by_role("model"):
            raise BadRequest(f"model '{name}' has no GGUF weights; other formats are not supported yet")
        try:
            return self._assemble(name, manifest, config)
        except FileNotFoundError:
            raise ModelLoadError(f"model '{name}' is incomplete, a blob is missing: create or pull it again") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ModelLoadError(f"a layer of model '{name}' cannot be read: {type(error).__name__}") from None

    def _assemble(self, name: ModelName, manifest: Manifest, config: Mapping[str, Any]) -> Model:
        template = self._texts(manifest, "template", "prompt")
        layers, header = self.weights(manifest)
        return Model(
            name=name,
            digest=manifest.digest,
            weights=self.blobs.path(layers[0].digest),
            weights_digest=layers[0].digest,
            gguf=header,
            config=config,
            template=template[-1] if template else None,
            system="".join(self._texts(manifest, "system")[-1:]),
            params=self.params(manifest.layers),
            messages=self._messages(manifest),
            licenses=tuple(self._texts(manifest, "license")),
            adapters=self._paths(manifest.by_role("adapter")),
            projectors=self._paths(manifest.by_role("projector")),
            drafts=self._paths(manifest.by_role("draft")),
            shards=self._paths(layers) if len(layers) > 1 else (),
            parent=layers[0].from_,
            modified_at=manifest.modified_at,
            size=manifest.size,
        )

    def _paths(self, layers: Iterable[Layer]) -> tuple[Path, ...]:
        return tuple(self.blobs.path(layer.digest) for layer in layers)

    def weights(self, manifest: Manifest) -> tuple[list[Layer], GGUFHeader]:
        """The layer of a model's weights, the shards in order if they are split; and the header of the whole.

        Raises:
            FileNotFoundError: if a blob is missing.
            InvalidGGUF: if a header is refused, or shards do not make a whole.
        """
        layers = manifest.by_role("model")
        header = self.header(layers[-1].digest)
        if header.split_count <= 1:
            return layers[-1:], header
        headers = [self.header(layer.digest) for layer in layers]
        places = order(headers)
        return [layers[i] for i in places], join([headers[i] for i in places])

    def header(self, digest: Digest) -> GGUFHeader:
        """The header of a GGUF blob, checked, read once.

        Raises:
            FileNotFoundError: if there is no such blob.
            InvalidGGUF: if it is refused.
        """
        header = self._headers.get(digest)
        if header is None or not self.blobs.has(digest):
            header = read_header(self.blobs.path(digest))
            self._headers.put(digest, header)
        return header

    def header_of(self, path: Path) -> GGUFHeader:
        """The header of a blob that a Model names by its path."""
        digest = Digest.from_blob_path(path)
        return self.header(digest) if digest else read_header(path)

    def text(self, layer: Layer) -> str | None:
        """A text layer, or None if it cannot be read."""
        try:
            return self._small(layer).decode("utf-8", "replace")
        except (OSError, ValueError):
            return None

    def config(self, manifest: Manifest) -> dict[str, Any]:
        """The config layer, or an empty one if it cannot be read."""
        try:
            config = json.loads(self._small(manifest.config))
        except (OSError, ValueError, RecursionError):
            return {}
        return config if isinstance(config, dict) else {}

    def params(self, layers: Iterable[Layer]) -> dict[str, Any]:
        """What the params layers among `layers` say, later ones over earlier ones."""
        merged: dict[str, Any] = {}
        for layer in layers:
            if layer.role == "params":
                merged.update(json.loads(self._small(layer)) or {})
        return merged

    def _messages(self, manifest: Manifest) -> tuple[Message, ...]:
        layers = manifest.by_role("messages")
        data = json.loads(self._small(layers[-1])) if layers else []
        return tuple(
            Message(str(m.get("role", "")).lower(), str(m.get("content") or ""), str(m.get("thinking") or ""))
            for m in data or ()
        )

    def _texts(self, manifest: Manifest, *roles: str) -> list[str]:
        return [self._small(layer).decode("utf-8", "replace") for layer in manifest.by_role(*roles)]

    def _small(self, layer: Layer) -> bytes:
        with self.blobs.path(layer.digest).open("rb") as file:
            data = file.read(MAX_SMALL_LAYER + 1)
        if len(data) > MAX_SMALL_LAYER:
            raise ValueError("a layer is too large")
        return data

    def prune(self, digests: frozenset[Digest]) -> None:
        """Delete those of `digests` that no manifest names any more. The caller holds the lock."""
        for digest in digests - self.manifests.referenced():
            self.blobs.delete(digest)
            self.forget(digest)

    def forget(self, digest: Digest) -> None:
        """Know nothing of a blob any more: its file is another one, or gone."""
        self._headers.drop(digest)
        self._models.clear()

    def discard_unnamed(self, digest: Digest) -> None:
        """Remove a blob that was refused, unless a manifest names it."""
        with self.lock:
            self.prune(frozenset({digest}))
