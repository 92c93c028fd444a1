"""Scanning models for hostile content: what header, tokenizer, template and texts hold that their user should know.

A scan judges by what is written in a model's files, and runs nothing of them. It cannot tell what the weights have
learned. What could harm the process is refused by the header reader; here people are told what might harm them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from ollama_jupyter.errors import InvalidGGUF, ModelLoadError, ModelNotFound
from ollama_jupyter.library.scan.header import scan_header
from ollama_jupyter.library.scan.layers import CONFIG, SCANS, scan_text
from ollama_jupyter.library.scan.texts import MAX_TEXT
from ollama_jupyter.library.scan.tokenizer import scan_tokenizer
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import ModelName
from ollama_jupyter.reports import Finding, ScanReport
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer
from ollama_jupyter.store.models import Store

__all__ = ["scan_layers", "scan_model", "tell", "telling"]

log = logging.getLogger("ollama_jupyter.library")

GGUF_ROLES = ("model", "projector", "adapter", "draft")
OTHER_ROLES = ("tensor", "json", "embed")


def scan_model(store: Store, name: ModelName) -> ScanReport:
    """Scan a stored model.

    Raises:
        ModelNotFound: if there is none of that name.
        ModelLoadError: if its manifest cannot be read, or a blob is missing.
    """
    found = store.find(name)
    if found is None:
        raise ModelNotFound(str(name))
    stored, manifest = found
    if missing := [layer for layer in manifest.layers if not store.blobs.has(layer.digest)]:
        raise ModelLoadError(f"model '{stored}' is incomplete, {len(missing)} of its blobs are missing: pull it again")
    findings = scan_layers(store, (manifest.config, *manifest.layers))
    return ScanReport(stored.display, manifest.digest, tuple(findings))


def scan_layers(store: Store, layers: Iterable[Layer]) -> list[Finding]:
    """Scan stored layers, the config among them: each blob once, in the order given.

    Raises:
        OSError: if a blob cannot be read.
    """
    return [finding for layer in dict.fromkeys(layers) for finding in _scan(store, layer)]


def _scan(store: Store, layer: Layer) -> Iterator[Finding]:
    if layer.role in GGUF_ROLES:
        yield from _scan_gguf(store, layer)
    elif layer.media_type == CONFIG_TYPE or layer.role in SCANS:
        yield from _scan_small(store, layer)
    elif not layer.media_type.startswith(LAYER_TYPE) or layer.role not in OTHER_ROLES:
        yield Finding("info", "manifest", f"a layer of the unknown type {layer.media_type[:80]!r}", "it is not read")


def _scan_gguf(store: Store, layer: Layer) -> Iterator[Finding]:
    try:
        header = store.header(layer.digest)
        yield from scan_header(header)
        if header.kind == "model":
            yield from scan_tokenizer(header, store.blobs.path(layer.digest))
    except InvalidGGUF as error:
        why = "such a file can end the program that loads it; here it is refused"
        yield Finding("danger", layer.role, error.message, why)


def _scan_small(store: Store, layer: Layer) -> Iterator[Finding]:
    role = CONFIG if layer.media_type == CONFIG_TYPE else layer.role
    size = store.blobs.size(layer.digest)
    if size > MAX_TEXT:
        yield Finding("warning", role, f"too long to be looked through ({size} bytes)", "it may say anything")
    else:
        yield from scan_text(role, store.blobs.read(layer.digest))


def tell(store: Store, layers: Iterable[Layer], report: Report) -> None:
    """Scan what is about to get a name: warnings go to the log, and what is dangerous to whoever asked for it, too.

    Nothing is refused here. A scan that fails stops nobody: it is told, and that is all.
    """
    try:
        findings = scan_layers(store, layers)
    except Exception as error:
        log.warning("a model could not be scanned: %s", type(error).__name__)
        return
    for finding in findings:
        if finding.level != "info":
            log.warning("scan: %s", finding)
        if finding.level == "danger":
            report(Progress(f"warning: {finding}"))


def telling(store: Store, name: ModelName, report: Report) -> Report:
    """A report that scans the model `name` once it has been pulled, before its success is told."""

    def told(progress: Progress) -> None:
        if progress.status == "success" and (manifest := store.manifests.get(name)):
            tell(store, (manifest.config, *manifest.layers), report)
        report(progress)

    return told
