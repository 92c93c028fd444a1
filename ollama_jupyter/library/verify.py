"""Verifying a store: every blob is hashed again, every manifest compared with what is there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

from ollama_jupyter.errors import ModelNotFound
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.reports import Problem, VerifyReport
from ollama_jupyter.store.blobs import hash_file
from ollama_jupyter.store.manifests import CorruptManifest, Layer, Manifest
from ollama_jupyter.store.models import Store

BRING_AGAIN = "pull or create the model again"
ASK_OWNER = "it lies in a shared folder: its owner has to mend it"


@dataclass(slots=True)
class Wanted:
    """What the manifests want: each blob with the models and layers that name it."""

    models: list[tuple[ModelName, Manifest]] = field(default_factory=list)
    layers: defaultdict[Digest, list[tuple[ModelName, Layer]]] = field(default_factory=lambda: defaultdict(list))
    problems: list[Problem] = field(default_factory=list)

    def add(self, store: Store, name: ModelName) -> None:
        try:
            manifest = store.manifests.get(name)
        except (CorruptManifest, OSError) as error:
            reason = str(error) if isinstance(error, CorruptManifest) else "it cannot be read"
            detail = f"the manifest of {name} is corrupt: {reason}"
            self.problems.append(Problem("manifest", models=(name.display,), detail=detail, remedy=BRING_AGAIN))
            return
        if manifest is not None:
            self.models.append((name, manifest))
            for layer in (manifest.config, *manifest.layers):
                self.layers[layer.digest].append((name, layer))

    def users(self, digest: Digest) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.display for name, _ in self.layers.get(digest, ())))

    def size(self, digest: Digest) -> int | None:
        """The size that the manifests give, None where nobody names the blob."""
        return next((layer.size for _, layer in self.layers.get(digest, ())), None)


def verify(store: Store, report: Report, *, name: ModelName | None = None) -> tuple[VerifyReport, Wanted]:
    """Check the whole store, or one model with everything that it needs.

    Args:
        report: told the bytes that are done and how many there are in all; may raise to give up.

    Raises:
        ModelNotFound: if there is no model of that name.
    """
    wanted = _wanted(store, name)
    digests = set(wanted.layers) if name else {*wanted.layers, *store.blobs.list()}
    copies = [(digest, path) for digest in sorted(digests, key=str) for path in store.blobs.copies(digest)]
    problems = [*wanted.problems, *_lost(store, wanted, wanted.layers.keys() - {digest for digest, _ in copies})]
    meter = _Meter(report, sum(map(_size, (path for _, path in copies))))
    for digest, path in copies:
        problems += _check(store, wanted, digest, path, meter)
    if name is None:
        problems += _notes(store)
    return VerifyReport(len(wanted.models), len(copies), meter.done, tuple(problems)), wanted


def _wanted(store: Store, name: ModelName | None) -> Wanted:
    names = store.manifests.names()
    if name is not None:
        stored = store.manifests.canonical(name)
        if stored not in names:
            raise ModelNotFound(str(name))
        names = [stored]
    wanted = Wanted()
    for each in names:
        wanted.add(store, each)
    return wanted


def _lost(store: Store, wanted: Wanted, digests: Set[Digest]) -> Iterator[Problem]:
    """Those of `digests` that are in no place, if their models have not been deleted meanwhile."""
    named = store.manifests.referenced() if digests else set()
    for digest in sorted(digests & named, key=str):
        if not store.blobs.has(digest):
            detail = f"{wanted.size(digest)} bytes are missing"
            yield Problem("missing", str(digest), wanted.users(digest), detail, BRING_AGAIN)


class _Meter:
    """Passes on how many bytes have been hashed, at most once for each hundredth."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total = report, total
        self._told = -1
        self.done = 0
        self.add(0)

    def add(self, count: int) -> None:
        self.done += count
        percent = 100 * self.done // max(self._total, 1)
        if percent != self._told:
            self._told = percent
            self._report(Progress("verifying", total=self._total, completed=self.done))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


# ---- one blob -----------------------------------------------------------------------------------------------------


def _check(store: Store, wanted: Wanted, digest: Digest, path: Path, meter: _Meter) -> Iterator[Problem]:
    users = wanted.users(digest)
    # A bad copy behind a good one, or one that nobody names, is nobody's misfortune.
    serious = bool(users) and path == store.blobs.path(digest)
    own = path == store.blobs.own_path(digest)
    try:
        found, size = _hashed(path, meter)
    except FileNotFoundError:  # deleted meanwhile, with its model: or else the model is incomplete now
        yield from _lost(store, wanted, {digest})
        return
    except OSError as error:
        detail = f"it cannot be read: {error.strerror}"
        yield Problem("unreadable", str(digest), users, detail, BRING_AGAIN if own else ASK_OWNER, serious)
        return
    if found != digest:
        detail = _difference(size, wanted.size(digest))
        yield Problem("corrupt", str(digest), users, detail, _remedy(own, users), serious)
    else:
        yield from _wrong_sizes(wanted, digest, size)


def _hashed(path: Path, meter: _Meter) -> tuple[Digest, int]:
    before = 0

    def add(done: int, total: int) -> None:
        nonlocal before
        meter.add(done - before)
        before = done

    return hash_file(path, add), before


def _difference(size: int, expected: int | None) -> str:
    if expected is None or size == expected:
        return "its bytes are not those that it is named by"
    return f"it holds {size} bytes where its manifest says {expected}"


def _remedy(own: bool, users: tuple[str, ...]) -> str:
    if not own:
        return ASK_OWNER
    return (
        "verify with repair sets it aside and gets it again where it can" if users else "verify with repair removes it"
    )


def _wrong_sizes(wanted: Wanted, digest: Digest, size: int) -> Iterator[Problem]:
    """Manifests that say another size than the right bytes have."""
    wrong = {name.display: layer.size for name, layer in wanted.layers.get(digest, ()) if layer.size != size}
    if wrong:
        detail = f"its {size} bytes are right, but manifests say {', '.join(map(str, sorted(set(wrong.values()))))}"
        yield Problem("wrong size", str(digest), tuple(wrong), detail, BRING_AGAIN)


# ---- what nobody needs --------------------------------------------------------------------------------------------


def _notes(store: Store) -> Iterator[Problem]:
    named = store.manifests.referenced()
    remedy = "the next start of a server removes it, once it is an hour old"
    for digest in store.blobs.own():
        if digest not in named:
            yield Problem("unreferenced", str(digest), detail="no model uses it", remedy=remedy, serious=False)
    if count := _strangers(store.models / "blobs"):
        detail = f"{count} file{'' if count == 1 else 's'} among the blobs that are none"
        yield Problem("stranger", detail=detail, remedy="nothing here touches them; Ollama would", serious=False)


def _strangers(blobs: Path) -> int:
    try:
        return sum(Digest.from_blob_path(path) is None for path in blobs.iterdir())
    except OSError:
        return 0
