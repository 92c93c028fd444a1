"""`/api/create`: a model from uploaded GGUF files or from another model, published under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ollama_jupyter.errors import (
    BadRequest,
    InvalidGGUF,
    ModelLoadError,
    ModelNotFound,
    NotSupportedYet,
    TemplateError,
)
from ollama_jupyter.gguf import GGUFHeader
from ollama_jupyter.library.layers import Draft, describe_weights
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import CreateRequest, Progress, check_options
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.manifests import LAYER_TYPE, CorruptManifest, Layer, Manifest
from ollama_jupyter.store.models import Store, config_text

Probe = Callable[[Path], None]
"""Tries to load a GGUF file somewhere safe; raises what speaks against it."""
Ensure = Callable[[ModelName, Report], None]
"""Brings a model that is not in the store yet into it, if there is one of that name."""

# Architectures whose prompts Ollama renders by builtin code: renderer and parser that its create puts in the config.
_BUILTIN = {
    "gemma4": ("gemma4", "gemma4"),
    "laguna": ("laguna", "laguna"),
    "nemotron_h": ("nemotron-3-nano", "nemotron-3-nano"),
    "nemotron_h_moe": ("nemotron-3-nano", "nemotron-3-nano"),
    "nemotron_h_omni": ("nemotron-3-nano", "nemotron-3-nano"),
}
_STOPS = {"gemma4": ["<turn|>"]}


def create(
    store: Store,
    request: CreateRequest,
    report: Report,
    *,
    ensure: Ensure,
    prune: bool = True,
    probe: Probe | None = None,
) -> None:
    """Make the model that `request` asks for and publish it.

    Everything that can be refused is refused before the first report, so that it still gets a status of its own.

    Raises:
        BadRequest: and its children, for whatever the request says wrong.
        ModelNotFound: if `from` names no stored model.
    """
    name = _check(request)
    if request.from_:
        ensure(ModelName.parse(request.from_), report)
    draft, statuses = _base(store, request, probe)
    try:
        _customize(store, draft, request)
    except RecursionError:
        raise BadRequest("the parameters or messages are nested too deeply") from None
    for status in statuses:
        report(Progress(status))
    with store.lock:
        publish(store, store.manifests.canonical(name), draft, report, prune=prune)
    report(Progress("success"))


def _check(request: CreateRequest) -> ModelName:
    for path, digest in (request.files or {}).items():
        parts = PurePosixPath(path).parts
        if not path or path.startswith("/") or ".." in parts or path in (".", "./") or "\\" in path:
            raise BadRequest("file path must be relative")
        Digest.parse(digest)
    if request.adapters is not None:
        raise NotSupportedYet("adapters")
    name = ModelName.parse(request.model)
    if not request.from_ and request.files is None:
        raise BadRequest("neither 'from' or 'files' was specified")
    if request.template:
        _check_template(request.template)
    check_options(request.parameters)
    return name


def _check_template(text: str) -> None:
    from ollama_jupyter.prompt.gotemplate import parse

    try:
        parse(text)
    except TemplateError as error:
        raise TemplateError(f"template error: {error.message}") from None


# ---- the layers to begin with -------------------------------------------------------------------------------------


def _base(store: Store, request: CreateRequest, probe: Probe | None) -> tuple[Draft, list[str]]:
    """A draft with the source's layers, and the status lines that its reading earns."""
    if request.from_:
        return _from_model(store, request.from_), []
    return _from_files(store, dict(request.files or {}), probe)


def _from_model(store: Store, text: str) -> Draft:
    name = ModelName.parse(text)
    found = store.find(name)
    if found is None:
        raise ModelNotFound(str(name))
    stored, manifest = found
    model = store.resolve(stored)  # refuses what has no GGUF weights, or damaged ones
    texts = {key: config_text(model.config, key) for key in ("model_format", "renderer", "parser", "requires")}
    kept = {"capabilities": list(model.configured_capabilities), **texts}
    draft = Draft(config={key: value for key, value in kept.items() if value})
    draft.layers = [replace(layer, from_=stored.display) for layer in manifest.layers]
    _describe(draft, model.gguf)
    return draft


def _describe(draft: Draft, header: GGUFHeader) -> None:
    describe_weights(draft.config, header)
    renderer, parser = _BUILTIN.get(header.architecture, ("", ""))
    draft.config["renderer"] = draft.config.get("renderer") or renderer
    draft.config["parser"] = draft.config.get("parser") or parser


def _from_files(store: Store, files: Mapping[str, str], probe: Probe | None) -> tuple[Draft, list[str]]:
    if not files:
        raise BadRequest("unknown type")
    if any(path.endswith(".safetensors") for path in files):
        raise NotSupportedYet("files (safetensors)")
    draft = Draft()
    for path in sorted(files):
        digest = Digest.parse(files[path])
        header = _vet(store, path, digest, probe)
        draft.layers.append(Layer(LAYER_TYPE + header.kind, digest, header.file_size, from_=path))
        if header.kind == "model":
            _describe(draft, header)
    if not any(isinstance(layer, Layer) and layer.role == "model" for layer in draft.layers):
        raise BadRequest("no base model was found")
    return draft, ["parsing GGUF"] * len(files)


def _vet(store: Store, path: str, digest: Digest, probe: Probe | None) -> GGUFHeader:
    """The header of an uploaded file. A file that is refused is removed, unless a manifest names it."""
    try:
        header = _read(store, path, digest)
        if header.kind == "model" and probe:
            probe(store.blobs.path(digest))
    except FileNotFoundError:
        raise BadRequest(f'blob "{digest}" not found: upload it first') from None
    except (BadRequest, ModelLoadError) as error:
        store.discard_unnamed(digest)
        # Here it is the request that is wrong, not the server.
        raise error if isinstance(error, BadRequest) else InvalidGGUF(error.message) from None
    return header


def _read(store: Store, path: str, digest: Digest) -> GGUFHeader:
    try:
        header = store.header(digest)
    except InvalidGGUF as error:
        if error.message.startswith("supplied") and not path.endswith(".gguf"):
            raise BadRequest("unknown type") from None
        raise
    if header.kind == "adapter":
        raise NotSupportedYet("adapters")
    if header.split_count > 1:
        raise NotSupportedYet("files (split GGUF)")
    return header


# ---- what the request lays over them ------------------------------------------------------------------------------


def _customize(store: Store, draft: Draft, request: CreateRequest) -> None:
    for key, value in (("renderer", request.renderer), ("parser", request.parser), ("requires", request.requires)):
        draft.config[key] = value or draft.config.get(key, "")
    if request.template:
        draft.remove("prompt")
        draft.set_text("template", request.template)
    if request.system:
        draft.set_text("system", request.system)
    for text in request.license:
        if text:
            draft.add("license", text.encode())
    draft.set_parameters(_parameters(store, draft, request))
    if request.messages:
        draft.set_messages(request.messages)


def _parameters(store: Store, draft: Draft, request: CreateRequest) -> dict[str, Any]:
    """The request's parameters over the inherited ones, key by key."""
    merged = store.params(layer for layer in draft.layers if isinstance(layer, Layer))
    merged.update({key: value for key, value in request.parameters.items() if value is not None})
    stop = _STOPS.get(str(draft.config.get("model_family")))
    return {"stop": stop} | merged if stop else merged


# ---- publishing ---------------------------------------------------------------------------------------------------


def publish(store: Store, name: ModelName, draft: Draft, report: Report, *, prune: bool = True) -> Manifest:
    """Write the draft's blobs and its manifest under exactly this name. The caller holds the lock.

    If anything fails, the blobs that were written for it are removed again.
    """
    manifest = draft.manifest()
    new: set[Digest] = set()
    try:
        draft.write(store, new)
        _report_layers(store, manifest, new, report)
        report(Progress("writing manifest"))
        old = _old(store, name)
        store.manifests.put(name, manifest)
    except BaseException:
        store.prune(frozenset(new))
        raise
    if old and prune:
        store.prune(old.digests)
    return manifest


def _report_layers(store: Store, manifest: Manifest, new: set[Digest], report: Report) -> None:
    for layer in manifest.layers:
        if not store.blobs.has(layer.digest):
            raise BadRequest(f'blob "{layer.digest}" not found: upload it first')
        report(Progress(f"{'creating new' if layer.digest in new else 'using existing'} layer {layer.digest}"))


def _old(store: Store, name: ModelName) -> Manifest | None:
    try:
        return store.manifests.get(name)
    except CorruptManifest:
        return None
