"""Quantizing the weights of a model to be, by a child process."""

from __future__ import annotations

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.library import child
from ollama_jupyter.library.importing import keep
from ollama_jupyter.library.parts import Part
from ollama_jupyter.library.work import Report
from ollama_jupyter.messages import Progress
from ollama_jupyter.store.models import Store
from ollama_jupyter.store.workspace import Workspace

CHILD = "ollama_jupyter.engine.quantize"
NO_DIGEST = "0" * 19
"""What Ollama puts where progress on a blob has its digest; clients draw a bar for lines that have one."""

_FLOATS = ("F16", "BF16", "F32")


def needs_quantizing(part: Part, file_type: str) -> bool:
    """Whether there is something to do.

    Raises:
        BadRequest: if the weights are quantized already, in another way.
    """
    if not file_type or part.header.file_type == file_type:
        return False
    if part.header.file_type not in _FLOATS:
        if part.role == "draft":
            raise BadRequest(f"draft quantization requires an unquantized draft model, got {part.header.file_type}")
        raise BadRequest("quantization is only supported for F16, BF16 and F32 models")
    return True


def quantized(store: Store, space: Workspace, part: Part, file_type: str, report: Report) -> Part:
    """The same weights as `file_type`, in one file.

    Raises:
        BadRequest: if llama.cpp cannot do it, with its reason.
        EngineError: if the child ended without a word.
    """
    size = sum(layer.size for layer in part.layers)

    def tell(done: int, total: int) -> None:
        completed = size * done // total if total else 0
        report(Progress(f"quantizing {part.header.file_type} model to {file_type}", NO_DIGEST, size, completed))

    count = len(part.layers)
    # llama.cpp finds the other shards of a model by their names.
    names = [f"{part.role}-source-{i:05d}-of-{count:05d}.gguf" for i in range(1, count + 1)]
    sources = [space.link(digest, name) for digest, name in zip(part.digests, names, strict=True)]
    target = space.folder / f"{part.role}-{file_type}.gguf"
    arguments = {"source": [*map(str, sources)], "target": str(target), "type": file_type}
    child.run(CHILD, arguments | {"total": part.header.parameter_count}, tell)
    tell(1, 1)
    report(Progress("verifying conversion"))
    return keep(store, space, target.name, part.role)
