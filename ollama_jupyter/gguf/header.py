"""GGUFHeader: everything that a model file says about itself, read without its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from ollama_jupyter.gguf.tables import FILE_TYPES
from ollama_jupyter.gguf.values import Array, Value
from ollama_jupyter.messages import TensorInfo

_RANK = 4
"""The pooling type of models that score a text: llama.cpp's LLAMA_POOLING_TYPE_RANK."""

_HEADS = {"cls.weight", "cls.output.weight"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `shape` with the fastest dimension first, `offset` in bytes from the file's start, size `nbytes`."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.name, self.type, self.shape)


@dataclass(frozen=True)
class GGUFHeader:
    """A checked header. `kinds` is the GGUF type number of each key, `data_offset` where the tensors' data begins.

    `metadata` holds scalars, and an Array for each array, which keeps its items where they are no more than 1,024.
    """

    version: int
    file_size: int
    alignment: int
    data_offset: int
    metadata: Mapping[str, Value]
    kinds: Mapping[str, int]
    tensors: tuple[Tensor, ...]
    tokens: Mapping[int, bytes] = field(default_factory=dict)
    """The special tokens that the metadata names by id (bos, eos): their texts."""
    infill: tuple[str, str, str] | None = None
    """The texts of the tokens for filling in the middle (prefix, suffix, middle), where the vocabulary has them."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`; a key without a `general.` or `tokenizer.` prefix belongs to the architecture."""
        if not key.startswith(("general.", "tokenizer.", "split.", "adapter.", "clip.")):
            key = f"{self.architecture}.{key}"
        return self.metadata.get(key, default)

    def integer(self, key: str) -> int:
        """A whole number, 0 where the key is absent, an array's largest item where it is one per layer."""
        value = self.get(key, 0)
        if isinstance(value, Array):
            value = max((item for item in value.items or () if isinstance(item, int)), default=0)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def text(self, key: str) -> str:
        value = self.get(key, "")
        return value if isinstance(value, str) else ""

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def kind(self) -> str:
        """What the file holds: "adapter", "projector", or "model"."""
        declared = self.text("general.type")
        if declared == "adapter":
            return "adapter"
        standalone_vision = not self.integer("block_count") and self.integer("vision.block_count")
        if declared in ("mmproj", "projector") or self.architecture == "clip" or standalone_vision:
            return "projector"
        return "model"

    @property
    def split_count(self) -> int:
        """How many files the model is split into; 0 where it is not."""
        return self.integer("split.count")

    @property
    def split_number(self) -> int:
        """Which of them this is, from 0."""
        return self.integer("split.no")

    @property
    def block_count(self) -> int:
        return self.integer("block_count")

    @property
    def context_length(self) -> int:
        return self.integer("context_length")

    @property
    def embedding_length(self) -> int:
        return self.integer("embedding_length")

    @property
    def head_count(self) -> int:
        return self.integer("attention.head_count")

    @property
    def head_count_kv(self) -> int:
        """Key-value heads (the most of any layer); as many as heads where the file says nothing."""
        return self.integer("attention.head_count_kv") or self.head_count

    @property
    def vocabulary_size(self) -> int:
        tokens = self.get("tokenizer.ggml.tokens")
        return len(tokens) if isinstance(tokens, Array) else 0

    @property
    def has_pooling(self) -> bool:
        """Whether the model pools its outputs: an embedding model."""
        return self.get("pooling_type") is not None

    @property
    def pooling_type(self) -> int:
        """How llama.cpp makes one vector of a text: its LLAMA_POOLING_TYPE numbers, 0 where it makes none."""
        return self.integer("pooling_type")

    @property
    def embeds(self) -> bool:
        """Whether the model makes vectors of texts."""
        return self.pooling_type not in (0, _RANK)

    @property
    def ranks(self) -> bool:
        """Whether the model scores a text, as rerankers do, and has the head that does so."""
        return self.pooling_type == _RANK and any(tensor.name in _HEADS for tensor in self.tensors)

    @property
    def chat_template(self) -> str:
        """The Jinja text of the default chat template, or ""."""
        return self.text("tokenizer.chat_template")

    @property
    def bos_token(self) -> str:
        return self._token("tokenizer.ggml.bos_token_id")

    @property
    def eos_token(self) -> str:
        return self._token("tokenizer.ggml.eos_token_id")

    def _token(self, key: str) -> str:
        return self.tokens.get(self.get(key, -1), b"").decode("utf-8", "replace")

    @cached_property
    def parameter_count(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @cached_property
    def file_type(self) -> str:
        """The quantisation's name, such as `Q4_K_M`: as declared, else the type that most weights have."""
        declared = self.get("general.file_type")
        if isinstance(declared, int) and declared in FILE_TYPES:
            return FILE_TYPES[declared]
        weights: Counter[str] = Counter()
        for tensor in self.tensors:
            weights[tensor.type] += tensor.elements
        return weights.most_common(1)[0][0] if weights else "unknown"
