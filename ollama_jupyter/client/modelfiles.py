"""A Modelfile and the files that it names, made into a model on the server.

The server sees neither: files are uploaded as blobs, and the rest is one request. Reference: Ollama 0.33,
`parser/parser.go` and `cmd/cmd.go`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.folders import files_of
from ollama_jupyter.client.steps import whole
from ollama_jupyter.client.uploads import Report, digest_of, names_of, upload
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Progress
from ollama_jupyter.modelfile import Modelfile, parse

if TYPE_CHECKING:
    import ollama

GATHERING = "gathering model components"


def create_from_modelfile(
    client: ollama.Client,
    name: str,
    modelfile: str | bytes | Modelfile,
    folder: Path,
    *,
    quantize: str = "",
    draft_quantize: str = "",
    on_progress: Report,
) -> None:
    """Create the model `name`. Relative paths in the Modelfile start at `folder`.

    `on_progress` is told what is done here (`gathering model components`, `copying file sha256:…`), then every line
    of the server's.

    Raises:
        OllamaError: if the Modelfile or a file that it names is at fault.
        ollama.ResponseError: for what the server refuses, and what the client raises if it cannot be reached.
    """
    from ollama import ProgressResponse

    try:
        parsed = modelfile if isinstance(modelfile, Modelfile) else parse(modelfile)
        request = _texts(parsed)
    except BadRequest as error:
        raise OllamaError(error.message) from None
    on_progress(Progress(GATHERING))
    sources = _gather(parsed, folder)
    if draft_quantize and not sources.draft:
        raise OllamaError("--draft-quantize requires a DRAFT model")
    for file, digest in {**sources.model, **sources.adapter, **sources.draft}.items():
        upload(client, file, digest, on_progress)
    body = {"model": name, **request, **sources.fields(), "quantize": quantize, "draft_quantize": draft_quantize}
    body = {key: value for key, value in body.items() if value} | {"stream": True}
    for step in whole(client._request(ProgressResponse, "POST", "/api/create", json=body, stream=True)):
        on_progress(Progress(step.status or "", step.digest or "", step.total or 0, step.completed or 0))


def _texts(modelfile: Modelfile) -> dict[str, Any]:
    """All of the request that needs no files."""
    return {
        "template": modelfile.last("template"),
        "system": modelfile.last("system"),
        "license": modelfile.all("license"),
        "parameters": modelfile.parameters,
        "messages": [{"role": message.role, "content": message.content} for message in modelfile.messages],
        "renderer": modelfile.last("renderer"),
        "parser": modelfile.last("parser"),
        "requires": modelfile.requires,
    }


@dataclass
class _Sources:
    """What FROM, ADAPTER and DRAFT name: a model of the server, and files by their digests."""

    name: str = ""
    model: dict[Path, str] = field(default_factory=dict)
    adapter: dict[Path, str] = field(default_factory=dict)
    draft: dict[Path, str] = field(default_factory=dict)

    def fields(self) -> Mapping[str, Any]:
        return {
            "from": self.name,
            "files": names_of(self.model),
            "adapters": names_of(self.adapter),
            "draft_files": names_of(self.draft),
        }


def _gather(modelfile: Modelfile, folder: Path) -> _Sources:
    sources = _Sources()
    paths = {name: [_expand(text, folder) for text in modelfile.all(name)] for name in ("model", "draft", "adapter")}
    for path in paths["draft"]:
        if _exists(path) and any(_exists(base) and path.samefile(base) for base in paths["model"]):
            raise OllamaError(f"DRAFT must not reference the same local path as FROM: {path}")
    for text, path in zip(modelfile.all("model"), paths["model"], strict=True):
        if _exists(path):
            sources.model |= _digests(path)
        elif text.startswith((".", "/", "~")):  # no name begins so
            raise OllamaError(f"FROM {text}: no such file or folder")
        else:
            sources.name = text
    for path in paths["draft"]:
        sources.draft |= _digests(path)
    for path in paths["adapter"][-1:]:
        sources.adapter = _digests(path)
    return sources


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text that cannot be a path: too long, say
        return False


def _digests(path: Path) -> dict[Path, str]:
    try:
        return {file: digest_of(file) for file in files_of(path)}
    except OSError as error:
        raise OllamaError(f"stat {path}: {(error.strerror or type(error).__name__).lower()}") from None


def _expand(text: str, folder: Path) -> Path:
    """The path that a value may be: `~` and `~user` are homes, and what is relative starts at `folder`."""
    expanded = os.path.expanduser(text)  # noqa: PTH111 - Path would need its own error handling
    if text.startswith("~") and expanded == text:
        raise OllamaError(f"failed to find user '{text[1:].partition('/')[0]}'")
    return Path(os.path.abspath(folder / expanded))  # noqa: PTH100 - resolve() would follow links
