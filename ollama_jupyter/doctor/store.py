"""Quick checks of the model store: can it be written, is there room, are the models whole. Nothing is hashed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ollama_jupyter.names import ModelName
from ollama_jupyter.reports import Check
from ollama_jupyter.store.manifests import CorruptManifest
from ollama_jupyter.store.models import Store

LITTLE_ROOM, NO_ROOM = 5 * 10**9, 5 * 10**8
"""Bytes of free disk: below the first few models fit, below the second none."""
LISTED = 3


def checks(store: Store) -> Iterator[Check]:
    yield _folder(store.models)
    yield from (_shared(number, folder) for number, folder in enumerate(store.shared, start=2))
    yield room(shutil.disk_usage(_existing(store.models)).free)
    yield _models(store)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _folder(folder: Path) -> Check:
    elsewhere = 'export OLLAMA_MODELS="$HOME/models"'
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):  # the rights of a folder do not tell the whole truth
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        return Check("store", "fail", f"the folder of OLLAMA_MODELS cannot be written: {reason}", elsewhere)
    made = "" if folder.is_dir() else "; it is made when it is needed"
    return Check("store", "ok", f"the folder of OLLAMA_MODELS can be written{made}")


def _shared(number: int, folder: Path) -> Check:
    what = f"shared folder {number} of OLLAMA_MODELS"
    try:
        count = sum(1 for _ in (folder / "manifests").iterdir())
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        return Check("store", "warn", f"{what} cannot be read: {reason}", "echo $OLLAMA_MODELS")
    return Check("store", "ok", f"{what} can be read{'' if count else ', and is empty'}")


def room(free: int) -> Check:
    """Whether the disk has room for models; `free` in bytes."""
    detail = f"{free / 1e9:.1f} GB free for models"
    if free < NO_ROOM:
        return Check("disk", "fail", detail, "ollama-jupyter list; ollama-jupyter rm MODEL")
    if free < LITTLE_ROOM:
        return Check("disk", "warn", f"{detail}: only small models fit", "ollama-jupyter list; ollama-jupyter rm MODEL")
    return Check("disk", "ok", detail)


# ---- the models ---------------------------------------------------------------------------------------------------


def _models(store: Store) -> Check:
    names = store.manifests.names()
    corrupt = [name for name in names if _manifest_is_bad(store, name)]
    if corrupt:
        fix = "; ".join(f"ollama-jupyter rm {name}" for name in corrupt[:LISTED])
        return Check("models", "fail", f"corrupt manifests: {_listed(corrupt)}", fix)
    broken = [name for name in names if not _is_whole(store, name)]
    if broken:
        fix = "; ".join(f"ollama-jupyter verify --repair {name}" for name in broken[:LISTED])
        return Check("models", "fail", f"incomplete, or of the wrong size: {_listed(broken)}", fix)
    return Check("models", "ok", f"{len(names)} in the store, all of them whole" if names else "none in the store yet")


def _manifest_is_bad(store: Store, name: ModelName) -> bool:
    try:
        store.manifests.get(name)
    except (CorruptManifest, OSError):
        return True
    return False


def _is_whole(store: Store, name: ModelName) -> bool:
    manifest = store.manifests.get(name)
    if manifest is None:  # deleted meanwhile
        return True
    try:
        return all(store.blobs.size(layer.digest) == layer.size for layer in (manifest.config, *manifest.layers))
    except OSError:
        return False


def _listed(names: list[ModelName]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(str, names[:LISTED])) + more
