"""Models: what is told of them, and the requests that make, move and examine them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.messages.conversation import Message


@dataclass(frozen=True, slots=True)
class Details:
    """A model's `details` block, in Ollama's key order. `context_length` and `embedding_length` 0 are left out."""

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int = 0
    embedding_length: int = 0


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A row of `/api/tags`. `digest` is the hex sha256 of the manifest file, `size` all layers and the config."""

    name: str
    modified_at: float
    size: int
    digest: str
    details: Details
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A row of `/api/ps`. `expires_at` is a `time.time()`, or FOREVER; `size` is what the engine allocated."""

    name: str
    size: int
    digest: str
    details: Details
    expires_at: float
    size_vram: int
    context_length: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a GGUF. `shape` in GGUF's order, the fastest dimension first."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """Everything `/api/show` tells. Empty texts and tuples are left out on the wire."""

    license: str
    modelfile: str
    parameters: str
    template: str
    system: str
    messages: tuple[Message, ...]
    details: Details
    model_info: Mapping[str, Any]
    projector_info: Mapping[str, Any] | None
    tensors: tuple[TensorInfo, ...]
    capabilities: tuple[str, ...]
    modified_at: float
    requires: str = ""


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """`/api/create`. `files`, `adapters` and `draft_files` map a relative file name to a digest text, still unchecked.

    `info` overrides what the config says about the weights.
    """

    model: str
    from_: str = ""
    files: Mapping[str, str] | None = None
    adapters: Mapping[str, str] | None = None
    template: str = ""
    system: str = ""
    license: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    quantize: str = ""
    draft_files: Mapping[str, str] | None = None
    draft_quantize: str = ""
    remote_host: str = ""
    info: Mapping[str, object] = field(default_factory=dict)
    stream: bool = True


@dataclass(frozen=True, slots=True)
class PullRequest:
    """`/api/pull`. `model` is still unchecked; `insecure` asks for http instead of https."""

    model: str
    insecure: bool = False
    stream: bool = True


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """`/api/verify`, ours. Without a `model` the whole store; `insecure` is for registries that `repair` asks."""

    model: str = ""
    repair: bool = False
    insecure: bool = False
    stream: bool = True


@dataclass(frozen=True, slots=True)
class PushRequest:
    """`/api/push`, as PullRequest."""

    model: str
    insecure: bool = False
    stream: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """A status line of a slow verb. Zero `total` and `completed` and an empty `digest` are left out on the wire."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
