"""The parts of a model that are GGUF files: weights, projector, adapter, draft. Read and checked from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ollama_jupyter.errors import BadRequest, InvalidGGUF
from ollama_jupyter.gguf import GGUFHeader, join, order
from ollama_jupyter.library import sniff
from ollama_jupyter.names import Digest
from ollama_jupyter.store.manifests import LAYER_TYPE, Layer
from ollama_jupyter.store.models import Store

# What directories of models hold beside the weights.
_BESIDE = (".json", ".jinja", ".model", ".txt", ".md")


@dataclass(frozen=True, slots=True)
class Part:
    """A layer, or the shards of one in their order, and the header of the whole."""

    role: str
    layers: tuple[Layer, ...]
    header: GGUFHeader

    @property
    def digests(self) -> list[Digest]:
        return [layer.digest for layer in self.layers]


def is_safetensors(files: Mapping[str, str]) -> bool:
    return any(path.endswith(".safetensors") for path in files)


def read_files(store: Store, files: Mapping[str, str]) -> list[Part]:
    """The parts that uploaded GGUF files are, in the order of their names.

    A file that is refused is removed from the store, unless a manifest names it.

    Raises:
        BadRequest: for what is no GGUF file, or no good one; for shards that are no whole.
    """
    wanted = [path for path in sorted(files) if not path.endswith(_BESIDE)] or sorted(files)
    read = [(path, Digest.parse(files[path])) for path in wanted]
    headers = [(path, digest, _vet(store, path, digest)) for path, digest in read]
    parts = [_part(path, digest, header) for path, digest, header in headers if header.split_count <= 1]
    shards = [(path, digest, header) for path, digest, header in headers if header.split_count > 1]
    return [*parts, _joined(store, shards)] if shards else parts


def _part(path: str, digest: Digest, header: GGUFHeader) -> Part:
    return Part(header.kind, (_layer(header.kind, path, digest, header),), header)


def _layer(role: str, path: str, digest: Digest, header: GGUFHeader) -> Layer:
    return Layer(LAYER_TYPE + role, digest, header.file_size, from_=path)


def _joined(store: Store, shards: list[tuple[str, Digest, GGUFHeader]]) -> Part:
    try:
        ordered = [shards[i] for i in order([header for _, _, header in shards])]
        whole = join([header for _, _, header in ordered])
    except InvalidGGUF:
        for _, digest, _ in shards:
            store.discard_unnamed(digest)
        raise
    if whole.kind != "model":
        raise BadRequest(f"a {whole.kind} cannot be split")
    return Part("model", tuple(_layer("model", *shard) for shard in ordered), whole)


def _vet(store: Store, path: str, digest: Digest) -> GGUFHeader:
    """The header of one file."""
    try:
        return store.header(digest)
    except FileNotFoundError:
        raise missing(digest) from None
    except InvalidGGUF as error:
        refusal = sniff.refusal(path, head(store, digest)) if error.message.startswith("supplied") else error
        store.discard_unnamed(digest)
        raise refusal from None


def head(store: Store, digest: Digest) -> bytes:
    """The first bytes of a blob."""
    try:
        with store.blobs.path(digest).open("rb") as file:
            return file.read(sniff.HEAD)
    except FileNotFoundError:
        raise missing(digest) from None


def missing(digest: Digest) -> BadRequest:
    return BadRequest(f'blob "{digest}" not found: upload it first')
