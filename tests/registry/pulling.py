"""Pulls in tests: what is pulled, how, and what must then be there."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from registry.misbehaving import Registry

from ollama_jupyter.messages import Progress
from ollama_jupyter.registry import Access, pull
from ollama_jupyter.store.models import Store

WEIGHTS = random.Random(1).randbytes(1 << 20)
LICENSE = b"Do as you like.\n"
PIECE = 64 << 10


def fetch(
    store: Store,
    registry: Registry,
    *,
    prune: bool = True,
    streams: int = 4,
    cancel: threading.Event | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """Pull the registry's model; what was reported."""
    lines: list[Progress] = []

    def tell(progress: Progress) -> None:
        lines.append(progress)
        if report:
            report(progress)

    access = Access(insecure=True, trusted=True, key=store.models.parent / "key" / "id_ed25519", streams=streams)
    pull(store, registry.name, access=access, report=tell, cancel=cancel or threading.Event(), prune=prune)
    return lines


def assert_whole(store: Store, registry: Registry) -> None:
    """The model is there, byte for byte, and nothing is left over."""
    manifest = store.manifests.get(registry.name)
    assert manifest is not None
    assert manifest.raw == registry.manifest
    assert all(store.blobs.read(digest) == registry.blobs[str(digest)] for digest in manifest.digests)
    assert not [*(store.models / "partial").glob("sha256-*")]


def assert_nothing_visible(store: Store, registry: Registry) -> None:
    """No name, no blob, no file outside of the store but the sentinel and the key."""
    assert store.manifests.names() == []
    assert store.blobs.list() == []
    outside = {path.name for path in store.models.parent.iterdir()} - {"models", "key"}
    assert outside == {"sentinel"}
    assert (store.models.parent / "sentinel").read_text() == "still here"
