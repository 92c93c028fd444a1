"""From a request to the GGUF parts of the model that it asks for: found, checked, converted, quantized, tried.

First everything that may be refused at once (`prepare`), then what takes its time and is reported (`make`).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from ollama_jupyter.errors import BadRequest, InvalidGGUF, ModelLoadError, ModelNotFound
from ollama_jupyter.library.assemble import Source
from ollama_jupyter.library.checks import file_type
from ollama_jupyter.library.importing import SafetensorsFolder
from ollama_jupyter.library.parts import Part, is_safetensors, read_files
from ollama_jupyter.library.quantizing import needs_quantizing, quantized
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import CreateRequest, Progress
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.store.manifests import Layer
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.workspace import Workspace, workspace

ONE_ADAPTER = "only one adapter is currently supported"


class Probe(Protocol):
    """Tries to load a GGUF file somewhere safe; raises a ModelLoadError of what speaks against it."""

    def __call__(self, path: Path, shards: tuple[Path, ...] = (), adapters: tuple[Path, ...] = ()) -> None: ...


class Making:
    """The files of one model in the making. A context manager: what was made for nothing is removed with it."""

    def __init__(self, store: Store, request: CreateRequest, probe: Probe | None, *, prune: bool = True) -> None:
        self._store = store
        self._prune = prune
        self._request = request
        self._probe = probe
        self._stack = ExitStack()
        self._space: Workspace | None = None
        self.made: set[Digest] = set()  # blobs that were converted or quantized for it
        self.source: Source | None = None  # what the model is made `from`
        self._parts: list[Part] = []
        self._folders: dict[str, SafetensorsFolder] = {}
        self._status = 0

    def __enter__(self) -> Making:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        unused = set(self.made)
        if self._prune and kind is None:
            unused.update(*(folder.spent() for folder in self._folders.values()))
        self._stack.close()
        if unused:
            with self._store.lock:
                self._store.prune(frozenset(unused))

    # ---- what can be refused at once ----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Read what the request names.

        Raises:
            BadRequest: and its children, for files that are missing or no good.
            ModelNotFound: if `from` names no stored model.
        """
        request = self._request
        if request.from_:
            self._find(ModelName.parse(request.from_))
        else:
            self._take("model", dict(request.files or {}))
        if request.draft_files is not None:
            self._take("draft", dict(request.draft_files))
        if request.adapters is not None:
            self._take("adapter", dict(request.adapters))
        self._check_parts()
        if not self._slow:
            self._try()

    def _find(self, name: ModelName) -> None:
        found = self._store.find(name)
        if found is None:
            raise ModelNotFound(str(name))
        stored, manifest = found
        model = self._store.resolve(stored)  # refuses what has no GGUF weights, or damaged ones
        self.source = Source(model, tuple(replace(layer, from_=stored.display) for layer in manifest.layers))
        weights, header = self._store.weights(manifest)
        self._parts.append(Part("model", tuple(replace(layer, from_=stored.display) for layer in weights), header))

    def _take(self, role: str, files: dict[str, str]) -> None:
        """Uploaded files that are to be a model, a draft or an adapter."""
        if not files:
            raise BadRequest("unknown type")
        if is_safetensors(files):
            self._folders[role] = SafetensorsFolder(self._store, self._workspace(), files, role)
            return
        parts = read_files(self._store, files)
        if role == "adapter" and len(parts) > 1:
            raise BadRequest(ONE_ADAPTER)
        self._parts += [self._cast(part, role) for part in parts]
        self._status += sum(len(part.layers) for part in parts)

    def _cast(self, part: Part, role: str) -> Part:
        """The part in the role that it was given for."""
        if role == "draft" and part.role == "model":
            return Part("draft", tuple(_as(layer, "draft") for layer in part.layers), part.header)
        wanted = ("model", "projector") if role == "model" else (role,)
        if part.role not in wanted:
            self._discard(part)
            raise BadRequest(f"{part.layers[0].from_} is a GGUF {part.role}, and no {role}")
        return part

    def _workspace(self) -> Workspace:
        if self._space is None:
            self._space = self._stack.enter_context(workspace(self._store.models, self._store.blobs))
        return self._space

    def _check_parts(self) -> None:
        models = self._of("model")
        if len(models) + ("model" in self._folders) > 1:
            raise BadRequest("the files hold more than one model")
        if not models and "model" not in self._folders:
            raise BadRequest("no base model was found")
        adapters = self._of("adapter")
        inherited = len(self.source.model.adapters) if self.source else 0
        if len(adapters) + ("adapter" in self._folders) + inherited > 1:
            raise BadRequest(ONE_ADAPTER)
        for part in models + self._of("draft"):
            needs_quantizing(part, self._wanted(part))
        if models and adapters:
            self._check_adapter(adapters[0], models[0])

    def _check_adapter(self, adapter: Part, base: Part) -> None:
        needed, there = adapter.header.architecture, base.header.architecture
        if needed != there:
            self._discard(adapter)
            raise BadRequest(f"the adapter is for models of the architecture {needed}, the base model is {there}")
        if adapter.header.text("adapter.type") != "lora":
            self._discard(adapter)
            raise BadRequest("only LoRA adapters are supported")

    def _of(self, role: str) -> list[Part]:
        return [part for part in self._parts if part.role == role]

    def _wanted(self, part: Part) -> str:
        return file_type({"model": self._request.quantize, "draft": self._request.draft_quantize}.get(part.role, ""))

    @property
    def _slow(self) -> bool:
        """Whether something is to be made first, so that not everything can be said at once."""
        return bool(self._folders) or any(needs_quantizing(part, self._wanted(part)) for part in self._parts)

    # ---- what takes its time ------------------------------------------------------------------------------------

    def make(self, report: Report) -> list[Part]:
        """Every part, made.

        Raises:
            BadRequest: what the converter, llama.cpp or the trial load say against it.
            Canceled: by `report`.
        """
        slow = self._slow
        for _ in range(self._status):
            report(Progress("parsing GGUF"))
        for role, folder in self._folders.items():
            base = self._of("model")[0] if role == "adapter" else None
            self._add(folder.make(report, base))
        for part in [*self._parts]:
            if needs_quantizing(part, self._wanted(part)):
                new = quantized(self._store, self._workspace(), part, self._wanted(part), report)
                self.made.update(new.digests)
                self._parts[self._parts.index(part)] = new
        if slow:
            adapters = self._of("adapter")
            if adapters:
                self._check_adapter(adapters[0], self._of("model")[0])
            self._try()
        return self._parts

    def _add(self, part: Part) -> None:
        self.made.update(part.digests)
        self._parts.append(part)

    def _try(self) -> None:
        """Load the weights, and again with their adapter, where they are not known to load."""
        (base,), adapters = self._of("model"), self._of("adapter")
        if self.source is None or base.digests[0] != self.source.model.weights_digest:
            self._load(base, base)
        if adapters:
            self._load(base, adapters[0], adapters)

    def _load(self, base: Part, suspect: Part, adapters: list[Part] | None = None) -> None:
        if self._probe is None:
            return
        paths = tuple(map(self._store.blobs.path, base.digests))
        others = tuple(self._store.blobs.path(digest) for part in adapters or () for digest in part.digests)
        try:
            self._probe(paths[0], paths if len(paths) > 1 else (), others)
        except ModelLoadError as error:
            self._discard(suspect)
            # Here it is the request that is wrong, not the server.
            raise InvalidGGUF(error.message) from None

    def _discard(self, part: Part) -> None:
        """Remove what was refused, unless a manifest names it."""
        for digest in part.digests:
            self._store.discard_unnamed(digest)


def _as(layer: Layer, role: str) -> Layer:
    return replace(layer, media_type=layer.media_type.removesuffix(layer.role) + role)
