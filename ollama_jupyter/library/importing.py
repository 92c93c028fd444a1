"""Safetensors folders: laid out again from their blobs, checked, and converted to GGUF by a child process."""

from __future__ import annotations

from collections.abc import Mapping

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.library import child, sniff
from ollama_jupyter.library.parts import Part, head, missing
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress
from ollama_jupyter.names import Digest
from ollama_jupyter.store.manifests import LAYER_TYPE, Layer
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.workspace import Workspace

CHILD = "ollama_jupyter.convert"
MAX_HEADER = 8 << 20
"""Bytes of a safetensors header that are decoded here: more of it would hold up everybody else, and is the child's."""


class SafetensorsFolder:
    """The uploaded files of a model or an adapter, as a folder below `space`.

    Args:
        role: what becomes of it: `model`, `adapter` or `draft`.

    Raises:
        BadRequest: for files that are missing, cut short, or of another kind.
    """

    def __init__(self, store: Store, space: Workspace, files: Mapping[str, str], role: str) -> None:
        self._store = store
        self._space = space
        self._role = role
        for path, digest in sorted(files.items()):
            self._lay(path, Digest.parse(digest))
        self._laid = {digest: self._changed(digest) for digest in map(Digest.parse, files.values())}

    def _changed(self, digest: Digest) -> int:
        """When the blob's file was last touched: linked, or asked for by somebody who is about to name it."""
        try:
            return self._store.blobs.path(digest).stat().st_ctime_ns
        except FileNotFoundError:
            return 0

    def spent(self) -> set[Digest]:
        """The uploads that nobody else has touched since they were laid out: of no more use once all is made."""
        return {digest for digest, moment in self._laid.items() if self._changed(digest) == moment}

    def _lay(self, path: str, digest: Digest) -> None:
        beginning = head(self._store, digest)
        if beginning[:4] == b"GGUF":
            raise BadRequest("files of safetensors and of GGUF cannot be mixed")
        if sniff.is_pickled(path, beginning):
            self._store.discard_unnamed(digest)
            raise sniff.refusal(path, beginning)
        try:
            self._space.link(digest, f"{self._role}/{path}")
        except FileNotFoundError:
            raise missing(digest) from None
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise BadRequest(f"{path} is both a file and a folder") from None
        length = int.from_bytes(beginning, "little")
        if path.endswith(".safetensors") and not MAX_HEADER < length < self._store.blobs.size(digest):
            self._check(path, digest)

    def _check(self, path: str, digest: Digest) -> None:
        """What its header says, which the child will read again; a file that is cut is known at once."""
        from ollama_jupyter.convert.folder import Folder
        from ollama_jupyter.convert.safetensors import read_file

        try:
            read_file(Folder(self._space.folder / self._role), path)
        except BadRequest:
            self._store.discard_unnamed(digest)
            raise

    def make(self, report: Report, base: Part | None = None) -> Part:
        """Convert. An adapter needs the `base` that it is for.

        Raises:
            BadRequest: what the converter has against the files.
            EngineError: if it ended without a word.
        """
        kind = "adapter" if self._role == "adapter" else "model"
        status = f"converting {kind}"
        report(Progress(status))
        target = self._space.folder / f"{self._role}.gguf"
        arguments = {
            "folder": str(self._space.folder / self._role),
            "target": str(target),
            "base": self._paths(base) if base else None,
            "kind": kind,
        }
        child.run(CHILD, arguments, lambda done, total: report(Progress(status, "", total, done)))
        return keep(self._store, self._space, target.name, self._role)

    def _paths(self, part: Part) -> str | list[str]:
        paths = [str(self._store.blobs.path(digest)) for digest in part.digests]
        return paths if len(paths) > 1 else paths[0]


def keep(store: Store, space: Workspace, name: str, role: str) -> Part:
    """The part that a finished file of the workspace is, now a blob."""
    digest = space.keep(space.folder / name)
    header = store.header(digest)
    return Part(role, (Layer(LAYER_TYPE + role, digest, header.file_size),), header)
