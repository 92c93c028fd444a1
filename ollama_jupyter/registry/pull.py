"""Pull a model: its manifest, then its blobs into `partial/`, and when all of them are verified, all into the store."""

from __future__ import annotations

import threading

from ollama_jupyter.errors import OllamaJupyterError, RegistryError, Trouble
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import ModelName
from ollama_jupyter.registry.access import Access
from ollama_jupyter.registry.blob import Blob, Report
from ollama_jupyter.registry.client import RegistryClient
from ollama_jupyter.registry.patience import Patience
from ollama_jupyter.store import space
from ollama_jupyter.store.manifests import MAX_BYTES, MEDIA_TYPE, CorruptManifest, Layer, Manifest
from ollama_jupyter.store.models import Store

MAX_LAYERS = 10_000
MANIFEST_TRIES = 3
"""Nothing has been achieved yet: whoever is not there is told of sooner than in the middle of a pull."""
ROUNDS = 10
"""How often blobs may vanish, because others delete models, before we stop fetching them again."""


def pull(
    store: Store, name: ModelName, *, access: Access, report: Report, cancel: threading.Event, prune: bool
) -> None:
    """Bring a model into the store under `name`, replacing what that was. Called again, it goes on where it was ended.

    Args:
        name: in the store's spelling.
        report: told Ollama's status lines; may raise to give up.
        cancel: ends the pull soon after it is set; what has come is kept for the next time.
        prune: remove what only the replaced manifest named.

    Raises:
        RegistryError: if the registry has no such model, cannot be reached, or sends something else.
        Forbidden: if its address is not to be contacted.
        InsufficientStorage: if the disk is too small.
        Canceled: if `cancel` was set.
    """
    report(Progress("pulling manifest"))
    with RegistryClient(name, access, cancel) as client:
        manifest = fetch_manifest(client, name.tag)
        blobs = [Blob(store, layer, report) for layer in _distinct(manifest)]
        missing = sum(blob.space_needed for blob in blobs if not blob.is_stored)
        space.require(store.models / "partial", missing)
        for _ in range(ROUNDS):
            for blob in blobs:
                blob.fetch(client, access.streams)
            report(Progress("verifying sha256 digest"))
            report(Progress("writing manifest"))
            if _publish(store, name, manifest, blobs, report, prune=prune):
                report(Progress("success"))
                return
    raise OllamaJupyterError("the blobs of the model are deleted as fast as they come")


def fetch_manifest(client: RegistryClient, tag: str) -> Manifest:
    """The manifest of a tag, checked: its bytes are kept as they came.

    Raises:
        RegistryError: with Ollama's words, if there is none or it is not one.
    """
    try:
        manifest = Patience(client.cancel, MANIFEST_TRIES).insist(lambda: _ask_for_manifest(client, tag))
        _refuse_unusable(manifest)
    except (RegistryError, CorruptManifest) as error:
        raise RegistryError(f"pull model manifest: {error}") from None
    return manifest


def _ask_for_manifest(client: RegistryClient, tag: str) -> Manifest:
    with client.request("GET", f"manifests/{tag}", headers={"Accept": MEDIA_TYPE}) as response:
        if response.status == 404:
            raise RegistryError("file does not exist")
        if response.status != 200:
            text, after = f"{response.status}: {response.excerpt()}", response.retry_after
            raise Trouble(text, after) if after else RegistryError(text)
        return Manifest.parse(response.read(MAX_BYTES, "the manifest"))


def _refuse_unusable(manifest: Manifest) -> None:
    roles = {layer.role for layer in manifest.layers}
    if not manifest.layers:
        raise RegistryError("it has no layers")
    if len(manifest.layers) > MAX_LAYERS:
        raise RegistryError(f"it has more than {MAX_LAYERS} layers")
    sizes: dict[object, int] = {}
    if any(sizes.setdefault(layer.digest, layer.size) != layer.size for layer in (*manifest.layers, manifest.config)):
        raise RegistryError("two layers of one digest have different sizes")
    if "tensor" in roles and "model" not in roles:
        raise RegistryError("this model requires MLX support, but the MLX runtime is not available")


def _distinct(manifest: Manifest) -> list[Layer]:
    """Every blob once, in the manifest's order, the config last."""
    return list({layer.digest: layer for layer in (*manifest.layers, manifest.config)}.values())


def _publish(
    store: Store, name: ModelName, manifest: Manifest, blobs: list[Blob], report: Report, *, prune: bool
) -> bool:
    """Let the model appear. False if a blob has vanished meanwhile: somebody deleted the model that it came with."""
    with store.lock:
        if not all(blob.is_ready for blob in blobs) or not all(blob.adopt() for blob in blobs):
            return False
        former = _manifest_or_none(store, name)
        store.manifests.put(name, manifest)
    unused = former.digests - manifest.digests if former else frozenset()
    if unused and prune:
        report(Progress("removing unused layers"))
        with store.lock:
            store.prune(unused)
    return True


def _manifest_or_none(store: Store, name: ModelName) -> Manifest | None:
    try:
        return store.manifests.get(name)
    except CorruptManifest:
        return None
