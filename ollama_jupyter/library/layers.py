"""The layers of a model to be: blobs written where they are new, JSON byte for byte as Ollama writes it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ollama_jupyter.gguf import GGUFHeader
from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.names import Digest
from ollama_jupyter.store import gojson
from ollama_jupyter.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from ollama_jupyter.store.models import Store

CONFIG_KEYS = (
    "model_format", "model_family", "model_families", "model_type", "file_type", "renderer", "parser", "requires",
    "remote_host", "remote_model", "capabilities", "context_length", "embedding_length", "base_name", "draft",
    "architecture", "os",
)  # fmt: skip
_ALWAYS = frozenset(CONFIG_KEYS[:5])


def human_number(count: int) -> str:
    """A parameter count as Ollama shows it: `7B`, `1.2B`, `134.52M`, `5K`."""
    for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2)):
        if count >= unit:
            return f"{count / unit:.{0 if count % unit == 0 else digits}f}{letter}"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)


def describe_weights(config: dict[str, Any], header: GGUFHeader) -> None:
    """Fill in what the config says about the weights."""
    config.setdefault("model_format", "gguf")
    config["model_family"] = header.architecture
    config["model_families"] = [header.architecture]
    config["model_type"] = human_number(header.parameter_count)
    config["file_type"] = header.file_type


def encode_config(config: Mapping[str, Any]) -> bytes:
    whole = {**config, "architecture": "amd64", "os": "linux"}
    return gojson.encode({key: whole.get(key) for key in CONFIG_KEYS if key in _ALWAYS or whole.get(key)})


def encode_message(message: Message) -> dict[str, Any]:
    """A message as it is stored: role and content always, the rest where it is not empty."""
    optional = {
        "thinking": message.thinking,
        "images": [base64.b64encode(image).decode() for image in message.images],
        "tool_calls": [_encode_call(call) for call in message.tool_calls],
        "tool_name": message.tool_name,
        "tool_call_id": message.tool_call_id,
    }
    return {"role": message.role.lower(), "content": message.content} | {k: v for k, v in optional.items() if v}


def _encode_call(call: ToolCall) -> dict[str, Any]:
    function = {"index": call.index, "name": call.name, "arguments": gojson.sort_keys(call.arguments)}
    return ({"id": call.id} if call.id else {}) | {"function": function}


@dataclass
class Draft:
    """A model in the making. Nothing is written before `write`, which the caller does under the store's lock."""

    config: dict[str, Any] = field(default_factory=dict)
    layers: list[Layer | tuple[str, bytes]] = field(default_factory=list)

    def add(self, role: str, data: bytes) -> None:
        self.layers.append((role, data))

    def remove(self, role: str) -> None:
        self.layers = [layer for layer in self.layers if _role(layer) != role]

    def set_text(self, role: str, text: str) -> None:
        self.remove(role)
        self.add(role, text.encode())

    def set_parameters(self, params: Mapping[str, Any]) -> None:
        self.remove("params")
        if params:
            self.add("params", gojson.encode(gojson.sort_keys(params)))

    @property
    def parameters(self) -> dict[str, Any]:
        """Those that were set here and are not written yet."""
        data = next((layer[1] for layer in self.layers if isinstance(layer, tuple) and layer[0] == "params"), b"{}")
        found: dict[str, Any] = json.loads(data)
        return found

    def set_messages(self, messages: Sequence[Message]) -> None:
        self.remove("messages")
        self.add("messages", gojson.encode([encode_message(message) for message in messages]))

    def manifest(self) -> Manifest:
        """The manifest of this draft; its digests follow from the contents alone."""
        config = _layer_of(CONFIG_TYPE, encode_config(self.config))
        return Manifest.build(config, tuple(_finished(layer) for layer in self.layers))

    def write(self, store: Store, new: set[Digest]) -> None:
        """Write the blobs that are given by their bytes, the config last; `new` collects those that were not there."""
        texts = [layer[1] for layer in self.layers if isinstance(layer, tuple)]
        for data in (*texts, encode_config(self.config)):
            if not store.blobs.has(Digest.of(data)):
                new.add(store.blobs.put_bytes(data))


def _role(layer: Layer | tuple[str, bytes]) -> str:
    return layer.role if isinstance(layer, Layer) else layer[0]


def _finished(layer: Layer | tuple[str, bytes]) -> Layer:
    return layer if isinstance(layer, Layer) else _layer_of(LAYER_TYPE + layer[0], layer[1])


def _layer_of(media_type: str, data: bytes) -> Layer:
    return Layer(media_type, Digest.of(data), len(data))
