"""The layers and the config that a model to be begins with: of its parts, and of the model that it is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ollama_jupyter.gguf import GGUFHeader
from ollama_jupyter.library.checks import overrides
from ollama_jupyter.library.layers import Draft, describe_weights
from ollama_jupyter.library.parts import Part
from ollama_jupyter.messages import CreateRequest
from ollama_jupyter.store.manifests import Layer
from ollama_jupyter.store.models import Model, config_text

# Architectures whose prompts Ollama renders by builtin code: renderer and parser that its create puts in the config.
_BUILTIN = {
    "gemma4": ("gemma4", "gemma4"),
    "laguna": ("laguna", "laguna"),
    "nemotron_h": ("nemotron-3-nano", "nemotron-3-nano"),
    "nemotron_h_moe": ("nemotron-3-nano", "nemotron-3-nano"),
    "nemotron_h_omni": ("nemotron-3-nano", "nemotron-3-nano"),
}
_RANKS = {"adapter": 1, "draft": 2}
_KEPT = ("model_format", "renderer", "parser", "requires")
_DRAFT = ("model_format", "architecture", "tensor_prefix", "config")


@dataclass(frozen=True, slots=True)
class Source:
    """The stored model that another is made from, and its layers, each with the name that it comes from."""

    model: Model
    layers: tuple[Layer, ...]


def assemble(parts: list[Part], source: Source | None, request: CreateRequest) -> Draft:
    """A draft without what the request lays over it."""
    draft = Draft(config=_inherited(source.model.config, source.model.configured_capabilities) if source else {})
    ordered = sorted(parts, key=lambda part: _RANKS.get(part.role, 0))
    draft.layers = [*(_replaced(source.layers, ordered) if source else _layers(ordered))]
    for part in ordered:
        if part.role == "model":
            _describe(draft.config, part.header)
        elif part.role == "draft":
            draft.config["draft"] = {"model_format": "gguf", "architecture": part.header.architecture}
    _override(draft.config, overrides(request.info))
    return draft


def _layers(parts: list[Part]) -> Iterator[Layer]:
    for part in parts:
        yield from part.layers


def _replaced(layers: tuple[Layer, ...], parts: list[Part]) -> Iterator[Layer]:
    """The source's layers with its weights, and its draft model, as the parts have them; then what is new."""
    weights = [part for part in parts if part.role == "model"]
    others = [part for part in parts if part.role != "model"]
    left = [*weights]
    for layer in layers:
        if layer.role == "model":
            yield from _layers(left)
            left = []
        elif layer.role != "draft" or not any(part.role == "draft" for part in others):
            yield layer
    yield from _layers(others)


def _inherited(config: Mapping[str, Any], capabilities: tuple[str, ...]) -> dict[str, Any]:
    """What another model's config, which may be anybody's, passes on."""
    drafted = config.get("draft")
    kept: dict[str, Any] = {key: config_text(config, key) for key in _KEPT}
    kept["capabilities"] = list(capabilities)
    if isinstance(drafted, Mapping):
        kept["draft"] = {key: text for key in _DRAFT if (text := config_text(drafted, key))}
    return {key: value for key, value in kept.items() if value}


def _describe(config: dict[str, Any], header: GGUFHeader) -> None:
    describe_weights(config, header)
    renderer, parser = _BUILTIN.get(header.architecture, ("", ""))
    config["renderer"] = config.get("renderer") or renderer
    config["parser"] = config.get("parser") or parser


def _override(config: dict[str, Any], found: dict[str, Any]) -> None:
    """Lay over it what the request says of the model by itself; of families and capabilities there are then more."""
    if "model_family" in found:
        config["model_families"] = [found["model_family"], *config["model_families"]]
    found["capabilities"] = [*config.get("capabilities", ()), *found.get("capabilities", ())]
    config.update(found)
