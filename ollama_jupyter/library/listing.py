"""The rows of `/api/tags`. What a row says follows from the manifest alone, so it is worked out once for each."""

from __future__ import annotations

import logging
from dataclasses import replace

from ollama_jupyter.errors import OllamaJupyterError
from ollama_jupyter.gguf import GGUFHeader, read_header
from ollama_jupyter.library.embedded import NAME, EmbeddedModel
from ollama_jupyter.library.layers import Draft
from ollama_jupyter.messages import ModelSummary
from ollama_jupyter.names import ModelName
from ollama_jupyter.prompt.select import capabilities
from ollama_jupyter.store.cache import Recent
from ollama_jupyter.store.manifests import Layer, Manifest
from ollama_jupyter.store.models import Store, config_text, config_texts, details_of

log = logging.getLogger("ollama_jupyter.library")

CACHED_ROWS = 10_000


class Listing:
    """Makes and remembers rows. Call it from a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: Recent[str, ModelSummary] = Recent(CACHED_ROWS)

    def rows(self) -> list[ModelSummary]:
        """Every readable model, newest first, equal times by name."""
        rows = [self._row(name, manifest) for name, manifest in self._store.manifests.list()]
        return sorted(rows, key=lambda row: (-row.modified_at, row.name))

    def _row(self, name: ModelName, manifest: Manifest) -> ModelSummary:
        row = self._rows.get(manifest.digest)
        if row is None:
            row = self._summary(manifest)
            if row.details.format:  # the config could be read
                self._rows.put(manifest.digest, row)
        return replace(row, name=name.display, modified_at=manifest.modified_at)

    def _summary(self, manifest: Manifest) -> ModelSummary:
        weights, header = self._weights(manifest)
        config = self._store.config(manifest)
        templates = manifest.by_role("template", "prompt")
        return ModelSummary(
            name="",
            modified_at=0.0,
            size=manifest.size,
            digest=manifest.digest,
            details=details_of(config, weights[0].from_ if weights else "", header),
            # Ollama's list does not look at Jinja templates; its show does.
            capabilities=capabilities(
                template=self._store.text(templates[-1]) if templates else None,
                chat_template=None,
                native=False,
                family=config_text(config, "model_family"),
                configured=config_texts(config, "capabilities"),
                pooling=bool(header and header.has_pooling),
                vision=bool(header and header.get("vision.block_count") is not None),
                audio=bool(header and header.get("audio.block_count") is not None),
                projector=bool(manifest.by_role("projector")),
                parser=config_text(config, "parser"),
                infill=bool(header and header.infill),
            ),
        )

    def _weights(self, manifest: Manifest) -> tuple[list[Layer], GGUFHeader | None]:
        layers = manifest.by_role("model")
        try:
            return self._store.weights(manifest) if layers else ([], None)
        except (OSError, OllamaJupyterError) as error:
            log.warning("cannot read the weights of a listed model: %s", type(error).__name__)
            return layers, None

    def offered(self, manifest: Manifest, embedded: EmbeddedModel) -> ModelSummary:
        """The row of the embedded default before its import: the one that it will have after it."""
        draft: Draft = embedded.draft
        header = read_header(embedded.file)
        return ModelSummary(
            name=NAME.display,
            modified_at=embedded.file.stat().st_mtime,
            size=manifest.size,
            digest=manifest.digest,
            details=details_of(draft.config, "", header),
            capabilities=capabilities(
                template=None,
                chat_template=None,
                native=False,
                pooling=header.has_pooling,
                infill=header.infill is not None,
            ),
        )
