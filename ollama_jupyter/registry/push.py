"""A model to its registry: the blobs that it lacks, then the manifest, byte for byte as it is stored here."""

from __future__ import annotations

import threading
from typing import BinaryIO

from ollama_jupyter.errors import InvalidName, ModelNotFound, OllamaJupyterError
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.registry.access import Access
from ollama_jupyter.registry.blob import Meter, Report
from ollama_jupyter.registry.client import RegistryClient
from ollama_jupyter.registry.patience import Patience, refusal
from ollama_jupyter.registry.response import Response
from ollama_jupyter.registry.upload import Upload
from ollama_jupyter.store.manifests import MEDIA_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store


def push(store: Store, name: ModelName, *, access: Access, report: Report, cancel: threading.Event) -> None:
    """Give the model to the registry that its name says; status lines in Ollama's order.

    Raises:
        ModelNotFound: if it is not in the store, or a blob of it is not; ModelLoadError: if its manifest is corrupt.
        RegistryError: if the registry refuses, is out of reach, or breaks its protocol.
        Forbidden: if the registry is at an address that is not to be contacted.
        Canceled: soon after `cancel` is set.
    """
    report(Progress("retrieving manifest"))
    try:
        manifest = _manifest(store, name)
    except OllamaJupyterError:
        report(Progress("couldn't retrieve manifest"))
        raise
    with RegistryClient(name, access, cancel) as client:
        for layer in {layer.digest: layer for layer in (*manifest.layers, manifest.config)}.values():
            try:
                file = store.blobs.path(layer.digest).open("rb")
            except FileNotFoundError:  # the model was deleted meanwhile
                raise _lacking(name, layer.digest) from None
            with file:
                _push_blob(client, file, layer, _mountable(name, layer), report)
        report(Progress("pushing manifest"))
        Patience(cancel).insist(lambda: _put_manifest(client, name, manifest))
    report(Progress("success"))


def _manifest(store: Store, name: ModelName) -> Manifest:
    found = store.find(name)
    if found is None:
        raise ModelNotFound(str(name))
    for digest in found[1].digests:
        if not store.blobs.has(digest):
            raise _lacking(name, digest)
    return found[1]


def _lacking(name: ModelName, digest: Digest) -> ModelNotFound:
    return ModelNotFound(str(name), f"model '{name}' lacks its blob {digest}: pull or create it again")


def _mountable(name: ModelName, layer: Layer) -> str:
    """The repository of the same registry that a layer came from, or ""."""
    try:
        source = ModelName.parse(layer.from_)
    except InvalidName:
        return ""
    repository = f"{source.namespace}/{source.model}"
    is_elsewhere = source.host.lower() == name.host.lower() and repository != f"{name.namespace}/{name.model}"
    return repository if is_elsewhere else ""


def _push_blob(client: RegistryClient, file: BinaryIO, layer: Layer, source: str, report: Report) -> None:
    meter, patience = Meter(layer, report, "pushing"), Patience(client.cancel)
    upload = Upload(client, file, layer.digest, source, meter.show, patience)

    def attempt() -> None:
        # Asked each time: what went wrong may have been the answer that said that all went well.
        if not _is_there(client, layer):
            upload.advance()

    patience.insist(attempt)
    meter.finish()


def _is_there(client: RegistryClient, layer: Layer) -> bool:
    with client.request("HEAD", f"blobs/{layer.digest}") as response:
        if response.status == 404:
            return False
        _expect(response, "asking for a blob", 200)
        return True


def _put_manifest(client: RegistryClient, name: ModelName, manifest: Manifest) -> None:
    headers = {"Content-Type": MEDIA_TYPE}
    with client.request("PUT", f"manifests/{name.tag}", headers=headers, content=manifest.raw) as response:
        _expect(response, "pushing the manifest", 200, 201, 202)


def _expect(response: Response, what: str, *statuses: int) -> None:
    if response.status not in statuses:
        raise refusal(response, what)
