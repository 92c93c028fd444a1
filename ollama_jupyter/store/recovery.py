"""What a store is rid of when a server starts: the traces of killed processes, and blobs that nobody names any more.

Several servers, Ollama's among them, may share the folder and be in the middle of their work. So what is young stays,
whatever it is, and everything that could drift apart from a manifest being written happens under the store's lock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from ollama_jupyter.errors import InvalidDigest
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.manifests import CorruptManifest
from ollama_jupyter.store.models import Store

log = logging.getLogger("ollama_jupyter.store")

HOUR = 3600.0
YOUNG_BLOB = HOUR
"""Seconds for which a blob that no manifest names yet may belong to a create or a pull under way."""
OLD_PARTIAL = 30 * 24 * HOUR
"""Seconds after which nobody comes back for half a download."""

_OLD_SPELLING = re.compile(r"sha256:([0-9a-f]{64})\Z")
_OLLAMAS_PARTIAL = re.compile(r"sha256[:-][0-9a-f]{64}-partial")


@dataclass(slots=True)
class Recovered:
    """How many files were: removed half-written, renamed from the spelling of old stores, removed as named by nobody,
    removed as downloads given up, removed as verdicts on blobs that are gone."""

    half_written: int = 0
    renamed: int = 0
    unnamed: int = 0
    given_up: int = 0
    verdicts: int = 0

    def __str__(self) -> str:
        counts = ((field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self))
        return ", ".join(f"{count} {name}" for name, count in counts if count)


def recover(store: Store, *, prune: bool = True) -> Recovered:
    """Tidy one's own folder; shared ones are never touched. With `prune` False only what is broken is mended.

    Raises:
        OSError: if the folder cannot be written.
    """
    done = Recovered()
    if not store.models.is_dir():
        return done
    done.half_written = store.blobs.sweep()
    with store.lock:
        done.renamed = _respell(store)
        if prune:
            _prune(store, done)
    return done


def _prune(store: Store, done: Recovered) -> None:
    if corrupt := _corrupt(store):
        log.warning("not pruning: the manifest of %s cannot be read", ", ".join(map(str, corrupt)))
        return
    done.given_up = _drop_partials(store.models)
    done.unnamed = _drop_unnamed(store)
    done.verdicts = _drop_verdicts(store)
    _drop_empty_folders(store.models / "manifests")


def _respell(store: Store) -> int:
    """Old stores have `sha256:` in the names of their blobs. One that is there in both spellings is left alone."""
    count = 0
    for path in _files(store.models / "blobs"):
        match = _OLD_SPELLING.match(path.name)
        target = match and store.blobs.own_path(Digest(match[1]))
        if target and not target.exists():
            path.rename(target)
            count += 1
    return count


def _corrupt(store: Store) -> list[ModelName]:
    return [name for name in store.manifests.names_in(store.models) if not _is_readable(store, name)]


def _is_readable(store: Store, name: ModelName) -> bool:
    try:
        store.manifests.get(name)
    except (CorruptManifest, OSError):
        return False
    return True


def _drop_unnamed(store: Store) -> int:
    young = time.time() - YOUNG_BLOB
    named = store.manifests.referenced()
    old = [d for d in store.blobs.own() if d not in named and _changed(store.blobs.own_path(d)) < young]
    for digest in old:
        store.blobs.delete(digest)
        store.forget(digest)
    return len(old)


def _drop_partials(models: Path) -> int:
    """Downloads that nobody has gone on with for a month, all files of one together. Ollama's lie beside the blobs."""
    downloads: defaultdict[str, list[Path]] = defaultdict(list)
    for path in _files(models / "partial"):
        if "sha256-" in path.name:
            downloads[path.name.partition(".")[0]].append(path)
    for path in _files(models / "blobs"):
        if _OLLAMAS_PARTIAL.match(path.name):
            downloads[path.name.partition("-partial")[0]].append(path)
    old = time.time() - OLD_PARTIAL
    given_up = [path for paths in downloads.values() if max(map(_changed, paths)) < old for path in paths]
    for path in given_up:
        path.unlink(missing_ok=True)
    return len(given_up)


def _drop_verdicts(store: Store) -> int:
    """Verdicts of trial loads name the blob that was tried."""
    old = time.time() - HOUR
    gone = [path for path in _files(store.models / "probes") if _changed(path) < old and not _is_of_use(store, path)]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _is_of_use(store: Store, path: Path) -> bool:
    try:
        verdict = json.loads(path.read_bytes())
        return path.suffix == ".json" and store.blobs.has(Digest.parse(f"sha256:{verdict['digest']}"))
    except (OSError, ValueError, KeyError, TypeError, InvalidDigest):
        return False


def _drop_empty_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):  # not empty, or filled meanwhile
            if Path(folder) != root:
                Path(folder).rmdir()


def _files(folder: Path) -> Iterator[Path]:
    try:
        found = list(folder.iterdir())
    except OSError:  # not there
        return
    yield from (path for path in found if path.is_file())


def _changed(path: Path) -> float:
    """When the file was last written or linked. A link to a file from elsewhere keeps its old time of writing."""
    try:
        times = path.stat()
    except OSError:  # gone: too young to be removed
        return time.time()
    return max(times.st_mtime, times.st_ctime)
