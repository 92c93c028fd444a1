"""Repairing a store: a bad blob is set aside by a rename, and a good one takes its place by another.

No blob is ever written in place: a model that is loaded has it mapped, and keeps the old file until it lets go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ollama_jupyter.errors import Canceled, InvalidName, OllamaJupyterError
from ollama_jupyter.library.embedded import EmbeddedModel
from ollama_jupyter.library.verify import Wanted
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import DEFAULT_HOST, Digest, ModelName
from ollama_jupyter.reports import Problem, VerifyReport
from ollama_jupyter.store.blobs import CHUNK, hash_file
from ollama_jupyter.store.manifests import Manifest
from ollama_jupyter.store.models import Store

log = logging.getLogger("ollama_jupyter.library")

Refetch = Callable[[Digest, int, ModelName, Report], None]
"""Gets the blob of this digest and size, which the store does not have, from where the model of that name came from.
Raises an error of ours if it cannot be had."""

REPAIRABLE = ("corrupt", "missing", "unreadable")


class Repair:
    """Mends what a verification found.

    Args:
        refetch: None if nothing may be asked of the network.
    """

    def __init__(self, store: Store, wanted: Wanted, embedded: EmbeddedModel, refetch: Refetch | None) -> None:
        self._store = store
        self._wanted = wanted
        self._embedded = embedded
        self._refetch = refetch

    def mend(self, found: VerifyReport, report: Report) -> VerifyReport:
        """The same report after the repairs."""
        return replace(found, problems=tuple(self._mend(problem, report) for problem in found.problems))

    def _mend(self, problem: Problem, report: Report) -> Problem:
        if problem.kind not in REPAIRABLE:
            return problem
        digest = Digest.parse(problem.digest)
        if not problem.models:
            return self._remove(problem, digest)
        if not problem.serious:  # a bad copy behind a good one, in a shared folder
            return problem
        report(Progress(f"repairing {digest.short}"))
        return self._replace(problem, digest, report)

    def _remove(self, problem: Problem, digest: Digest) -> Problem:
        """One's own bad blob that nobody names, unless somebody has come to name it."""
        path = self._store.blobs.own_path(digest)
        with self._store.lock:
            existed = path.exists()
            self._store.prune(frozenset({digest}))
        return replace(problem, repaired=existed and not path.exists())

    def _replace(self, problem: Problem, digest: Digest, report: Report) -> Problem:
        """Afterwards the bad file is removed if there is a good one, and else kept for a month, out of the way of who
        brings one. If the work ends by an error it is put back: nothing is worse than before."""
        path = self._store.blobs.own_path(digest)
        aside = self._store.models / "partial" / f"bad-{path.name}"
        seen = _stamp(path)
        if seen and _is_good(path, digest):  # somebody else has mended it
            self._store.forget(digest)
            return replace(problem, repaired=True)
        with self._store.lock:
            if _stamp(path) != seen:
                return replace(problem, remedy="it has changed meanwhile: verify again")
            if seen:
                path.replace(aside)
        try:
            good = self._restore(digest, report)
        except BaseException:
            if seen and not path.exists():
                aside.replace(path)
            raise
        self._store.forget(digest)
        if good:
            aside.unlink(missing_ok=True)
            return replace(problem, repaired=True)
        detail = f"{problem.detail}; it was set aside" if seen else problem.detail
        return replace(problem, detail=detail, remedy="pull the model again, or create it again from its source")

    # ---- where a good one may come from

    def _restore(self, digest: Digest, report: Report) -> bool:
        return self._is_elsewhere(digest) or self._from_package(digest) or self._from_registry(digest, report)

    def _is_elsewhere(self, digest: Digest) -> bool:
        """Whether the first copy that is left, in a shared folder, is a good one. A good one further back is copied."""
        copies = self._store.blobs.copies(digest)
        good = next((path for path in copies if _is_good(path, digest)), None)
        if good is not None and good != copies[0]:
            self._copy(good, digest)
        return good is not None

    def _from_package(self, digest: Digest) -> bool:
        if not self._embedded.installed:
            return False
        try:
            file = self._embedded.file
            if file.stat().st_size != self._wanted.size(digest):
                return False
            self._copy(file, digest)
        except (OSError, OllamaJupyterError):
            return False
        return True

    def _copy(self, source: Path, digest: Digest) -> None:
        """Hashed on its way. Not a link: a file that goes bad in one place is to be good in the other."""
        with self._store.blobs.writer(digest) as writer, source.open("rb") as file:
            while chunk := file.read(CHUNK):
                writer.write(chunk)
            writer.commit()

    def _from_registry(self, digest: Digest, report: Report) -> bool:
        if self._refetch is None:
            return False
        return any(self._fetched(digest, name, report) for name in self._sources(digest))

    def _fetched(self, digest: Digest, name: ModelName, report: Report) -> bool:
        assert self._refetch is not None
        try:
            self._refetch(digest, self._wanted.size(digest) or 0, name, report)
        except Canceled:
            raise
        except OllamaJupyterError as error:
            log.info("%s of %s cannot be had again: %s", digest.short, name, error)
        return self._store.blobs.own_path(digest).is_file()

    def _sources(self, digest: Digest) -> list[ModelName]:
        """The models that came from a registry with this blob, or from which a model with it was made. Names that were
        only given here are nobody else's business."""
        pulled = {name: None for name, manifest in self._wanted.models if _came_from_elsewhere(name, manifest)}
        sources = {name: None for name, _ in self._wanted.layers[digest] if name in pulled}
        for _, layer in self._wanted.layers[digest]:
            try:
                made_from = ModelName.parse(layer.from_)
            except InvalidName:  # nothing, or the name of a file
                continue
            if any(made_from.same_as(name) for name in pulled):
                sources[made_from] = None
        return list(sources)


def _came_from_elsewhere(name: ModelName, manifest: Manifest) -> bool:
    """Whether its registry may know of it: it is named, or the manifest was not written by a create, which ends it
    with a newline."""
    return name.host != DEFAULT_HOST or not manifest.raw.endswith(b"\n")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from another that takes its place; None where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _is_good(path: Path, digest: Digest) -> bool:
    try:
        return hash_file(path) == digest
    except OSError:
        return False
