"""`/api/create`: a model from uploaded files or from another model, published under a name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.gguf import GGUFHeader
from ollama_jupyter.library.assemble import assemble
from ollama_jupyter.library.checks import check
from ollama_jupyter.library.layers import Draft
from ollama_jupyter.library.making import Making, Probe
from ollama_jupyter.library.scan import tell
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import CreateRequest, Progress
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.prompt.families import autodetect
from ollama_jupyter.store.manifests import CorruptManifest, Layer, Manifest
from ollama_jupyter.store.models import Store

__all__ = ["Ensure", "Probe", "create", "publish"]

Ensure = Callable[[ModelName, Report], None]
"""Brings a model that is not in the store yet into it, if there is one of that name."""

_DELETED = "was deleted meanwhile, with another model: try again"
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

    Whatever can be refused at once is refused before the first report, so that it still gets a status of its own.

    Raises:
        BadRequest: and its children, for whatever the request says wrong.
        ModelNotFound: if `from` names no stored model.
        EngineError: if a child that converts or quantizes ended without a word.
        Canceled: by `report`.
    """
    name = check(request)
    if request.from_:
        ensure(ModelName.parse(request.from_), report)
    try:
        manifest = _make(store, name, request, report, probe=probe, prune=prune)
    except FileNotFoundError:
        raise BadRequest(f"a blob of its source {_DELETED}") from None
    tell(store, (manifest.config, *manifest.layers), report)
    report(Progress("success"))


def _make(
    store: Store, name: ModelName, request: CreateRequest, report: Report, *, probe: Probe | None, prune: bool
) -> Manifest:
    with Making(store, request, probe, prune=prune) as making:
        making.prepare()
        parts = making.make(report)
        draft = assemble(parts, making.source, request)
        if making.source is None and not request.template:
            _detect_template(draft, next(part.header for part in parts if part.role == "model"), report)
        try:
            _customize(store, draft, request)
        except RecursionError:
            raise BadRequest("the parameters or messages are nested too deeply") from None
        with store.lock:
            return publish(store, store.manifests.canonical(name), draft, report, prune=prune, made=making.made)


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


def _detect_template(draft: Draft, header: GGUFHeader, report: Report) -> None:
    """Lay the built-in template that the GGUF's own one stands for, with its stops, if there is one."""
    if draft.config.get("renderer") or not header.chat_template:
        return
    found = autodetect(header.chat_template, bos=header.bos_token, eos=header.eos_token)
    if found is not None:
        report(Progress(f"using autodetected template {found.name}"))
        draft.set_text("template", found.template)
        draft.set_parameters({"stop": list(found.stop)})


def _parameters(store: Store, draft: Draft, request: CreateRequest) -> dict[str, Any]:
    """The request's parameters over the inherited ones, key by key."""
    merged = {**draft.parameters, **store.params(layer for layer in draft.layers if isinstance(layer, Layer))}
    merged.update({key: value for key, value in request.parameters.items() if value is not None})
    stop = _STOPS.get(str(draft.config.get("model_family")))
    return {"stop": stop} | merged if stop else merged


# ---- publishing ---------------------------------------------------------------------------------------------------


def publish(
    store: Store,
    name: ModelName,
    draft: Draft,
    report: Report,
    *,
    prune: bool = True,
    made: Collection[Digest] = (),
) -> Manifest:
    """Write the draft's blobs and its manifest under exactly this name. The caller holds the lock.

    If anything fails, the blobs that were written for it are removed again. Those of `made` are told of as new too.
    """
    manifest = draft.manifest()
    new: set[Digest] = set()
    try:
        draft.write(store, new)
        _report_layers(store, manifest, new.union(made), report)
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
            raise BadRequest(f'blob "{layer.digest}" {_DELETED}')
        report(Progress(f"{'creating new' if layer.digest in new else 'using existing'} layer {layer.digest}"))


def _old(store: Store, name: ModelName) -> Manifest | None:
    try:
        return store.manifests.get(name)
    except CorruptManifest:
        return None
