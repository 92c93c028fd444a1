"""The last check: one token of the smallest model, made in a child process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ollama_jupyter.config import DEFAULT_MODEL
from ollama_jupyter.engine import memory
from ollama_jupyter.engine.probe import trial
from ollama_jupyter.errors import OllamaJupyterError
from ollama_jupyter.library.embedded import EmbeddedModel
from ollama_jupyter.reports import Check
from ollama_jupyter.store.models import Store


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could be tried. `size` is bytes of its weights."""

    name: str
    size: int
    weights: Path
    shards: tuple[Path, ...] = ()


def checks(store: Store) -> Iterator[Check]:
    candidate = min(_stored(store), key=lambda c: c.size, default=None) or _embedded(store)
    if candidate is None:
        yield Check("token", "warn", "there is no model to try", f"ollama-jupyter pull {DEFAULT_MODEL}")
    elif candidate.size > memory.available_bytes():
        detail = f"even {candidate.name}, the smallest model, needs more memory than is free"
        yield Check("token", "warn", detail, f"ollama-jupyter pull {DEFAULT_MODEL}")
    else:
        yield _tried(candidate)


def _stored(store: Store) -> Iterator[Candidate]:
    for name, _ in store.manifests.list():
        try:
            model = store.resolve(name)
        except OllamaJupyterError:  # told by the checks of the store
            continue
        if not model.gguf.has_pooling:  # what embeds makes no tokens
            yield Candidate(name.display, model.gguf.file_size, model.weights, model.shards)


def _embedded(store: Store) -> Candidate | None:
    embedded = EmbeddedModel(store)
    if not embedded.installed:
        return None
    try:
        return Candidate(DEFAULT_MODEL, embedded.file.stat().st_size, embedded.file)
    except (OSError, OllamaJupyterError):
        return None


def _tried(candidate: Candidate) -> Check:
    started = time.monotonic()
    try:
        reason = trial(candidate.weights, tuple(map(str, candidate.shards)))
    except OllamaJupyterError as error:
        return Check("token", "fail", f"{candidate.name}: {error.message}", "OLLAMA_DEBUG=2 ollama-jupyter serve")
    if reason:
        return Check("token", "fail", f"{candidate.name}: {reason}", f"ollama-jupyter verify --repair {candidate.name}")
    return Check("token", "ok", f"{candidate.name} loaded and made a token in {time.monotonic() - started:.1f} s")
