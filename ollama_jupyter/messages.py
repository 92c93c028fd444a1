"""The neutral types that every dialect maps to and from.

Edges turn wire dictionaries into these, rooms below turn these into work, and back. Times are in seconds as float
(`time.time()` for points in time), sizes in bytes, counts in tokens unless a name says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ollama_jupyter.errors import InvalidOption

# ---- conversations ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a model made. `arguments` is the decoded JSON object."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `images` are raw file bytes."""

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[bytes, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


# ---- options ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One row of the table below. `kind` is int, float, bool or list (of strings); bounds are inclusive."""

    kind: type
    default: Any
    low: float = -math.inf
    high: float = math.inf


_I31 = 2**31 - 1
MAX_STOPS, MAX_STOP_LENGTH = 64, 1024  # every token is compared with every one of them

# Ollama's options with its defaults. `None` is "automatic". The first seven shape the loaded model; the others the
# sampling of one request. The bounds are what llama.cpp can be given without an abort or an absurd allocation.
OPTIONS: dict[str, OptionSpec] = {
    "num_ctx": OptionSpec(int, None, 0, _I31),
    "num_batch": OptionSpec(int, 512, 1, 16384),
    "num_gpu": OptionSpec(int, -1, -1, 10_000),
    "main_gpu": OptionSpec(int, None, 0, 63),
    "use_mmap": OptionSpec(bool, None),
    "num_thread": OptionSpec(int, 0, 0, 1024),
    "draft_num_predict": OptionSpec(int, 0, 0, 64),
    "num_keep": OptionSpec(int, 4, 0, _I31),
    "seed": OptionSpec(int, -1, -(2**63), 2**63 - 1),
    "num_predict": OptionSpec(int, -1, -_I31, _I31),
    "top_k": OptionSpec(int, 40, 0, _I31),
    "top_p": OptionSpec(float, 0.9, 0, 1),
    "min_p": OptionSpec(float, 0.0, 0, 1),
    "typical_p": OptionSpec(float, 1.0, 0, 1),
    "temperature": OptionSpec(float, 0.8, 0, 100),
    "repeat_last_n": OptionSpec(int, 64, -1, _I31),
    "repeat_penalty": OptionSpec(float, 1.0, 0.01, 100),
    "presence_penalty": OptionSpec(float, 0.0, -100, 100),
    "frequency_penalty": OptionSpec(float, 0.0, -100, 100),
    "stop": OptionSpec(list, ()),
}

_KIND_WORDS = {int: "integer", float: "number", bool: "boolean", list: "an array of strings"}


def check_option(name: str, value: object) -> Any:
    """The value of option `name`, typed: ints take whole and fractional floats (cut), lists become tuples.

    Raises:
        InvalidOption: naming the option and what was expected.
    """
    spec = OPTIONS[name]
    wrong_type = InvalidOption(f'option "{name}" must be of type {_KIND_WORDS[spec.kind]}')
    if spec.kind is list:
        if not isinstance(value, (list, tuple)):
            raise wrong_type
        if not all(isinstance(item, str) for item in value):
            raise InvalidOption(f'option "{name}" must be of an array of strings')
        if len(value) > MAX_STOPS or any(len(item) > MAX_STOP_LENGTH for item in value):
            raise InvalidOption(f'option "{name}" takes at most {MAX_STOPS} strings of {MAX_STOP_LENGTH} characters')
        return tuple(item for item in value if item)
    if spec.kind is bool:
        if not isinstance(value, bool):
            raise wrong_type
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type
    if not spec.low <= value <= spec.high:  # NaN fails this too
        raise InvalidOption(f'option "{name}" must be between {spec.low:g} and {spec.high:g}, got {value}')
    return spec.kind(value)


def check_options(raw: Mapping[str, object]) -> dict[str, Any]:
    """The known, non-null options of a request or a Modelfile, each checked. Unknown names are left out."""
    return {name: check_option(name, value) for name, value in raw.items() if name in OPTIONS and value is not None}


@dataclass(frozen=True, slots=True)
class Options:
    """A full set of options: see OPTIONS for types and defaults. `num_ctx` None means the server's default."""

    num_ctx: int | None = None
    num_batch: int = 512
    num_gpu: int = -1
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int = 0
    draft_num_predict: int = 0
    num_keep: int = 4
    seed: int = -1
    num_predict: int = -1
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    temperature: float = 0.8
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()

    @classmethod
    def merge(cls, *layers: Mapping[str, object]) -> Options:
        """Check each layer and lay the later ones over the earlier ones. Lists replace, they never join.

        Raises:
            InvalidOption: for the first bad value.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            merged.update(check_options(layer))
        return cls(**merged)

    def with_(self, **changes: Any) -> Options:
        return replace(self, **changes)


# ---- generation -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """`/api/generate`. `model` is the text as sent, echoed verbatim in the answer. `keep_alive` in seconds."""

    model: str
    prompt: str = ""
    system: str | None = None
    template: str | None = None
    context: tuple[int, ...] = ()
    raw: bool = False
    stream: bool = True
    keep_alive: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    truncate: bool = True
    shift: bool = True
    think: bool | str | None = None
    debug_render_only: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`/api/chat` and everything that maps to it."""

    model: str
    messages: tuple[Message, ...] = ()
    stream: bool = True
    keep_alive: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    truncate: bool = True
    shift: bool = True
    think: bool | str | None = None
    debug_render_only: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """What a finished request cost. Durations in seconds, counts in tokens; cached prompt tokens count as prompt."""

    total_duration: float = 0.0
    load_duration: float = 0.0
    prompt_eval_count: int = 0
    prompt_eval_duration: float = 0.0
    eval_count: int = 0
    eval_duration: float = 0.0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Truncated:
    """What was cut from an over-long prompt: whole messages, and tokens (of the dropped messages, or of the text)."""

    messages: int
    tokens: int
    num_ctx: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of an answer. The last has `done`, a reason (`stop`, `length`, `load`, `unload`) and the stats."""

    text: str = ""
    done: bool = False
    done_reason: str = ""
    stats: Stats | None = None
    context: tuple[int, ...] = ()
    truncated: Truncated | None = None
    rendered: str | None = None  # the prompt after templating, for _debug_render_only

    @property
    def is_handshake(self) -> bool:
        """Load and unload answers, and rendered prompts, are one JSON object and never a stream."""
        return self.done_reason in ("load", "unload") or self.rendered is not None


# ---- models -----------------------------------------------------------------------------------------------------


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
