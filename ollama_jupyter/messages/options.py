"""The options of a model and of a request: one table of names, types, defaults and bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ollama_jupyter.errors import InvalidOption


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
