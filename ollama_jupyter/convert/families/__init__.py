"""The model families that can be converted, one module each: what llama.cpp calls it, its header, its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ollama_jupyter.convert.config import Config
from ollama_jupyter.convert.families import bert, gemma2, gemma3, llama, phi3, qwen2, qwen3
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata
from ollama_jupyter.errors import ConversionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Family(Protocol):
    """What a module of this package offers."""

    NAME: str
    """llama.cpp's name of the architecture."""

    DEFAULTS: Mapping[str, Any]
    """Values that configurations of this family leave out."""

    def metadata(self, folder: Folder, config: Config) -> Metadata: ...

    def weights(self, config: Config) -> Iterable[Weight]: ...

    def extras(self, config: Config) -> Mapping[str, NDArray[Any]]:
        """Tensors that are computed from the configuration."""

    def source_name(self, name: str) -> str | None:
        """The name that `weights` uses for a tensor of the checkpoint; None for one that is not needed."""


_FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": llama,
    "MistralForCausalLM": llama,
    "Qwen2ForCausalLM": qwen2,
    "Qwen3ForCausalLM": qwen3,
    "Gemma2ForCausalLM": gemma2,
    "Gemma3ForCausalLM": gemma3,
    "Gemma3ForConditionalGeneration": gemma3,
    "Phi3ForCausalLM": phi3,
    "BertModel": bert,
    "BertForMaskedLM": bert,
}


def family_of(config: Config) -> Family:
    """The family of a model.

    Raises:
        ConversionError: naming the architecture, and what to do, if there is none for it.
    """
    found = _FAMILIES.get(config.architecture)
    if found is None:
        raise ConversionError(
            f'architecture "{config.architecture[:80] or "unknown"}" is not supported by the importer; convert it with '
            "llama.cpp's convert_hf_to_gguf.py and create from the GGUF"
        )
    if config.quantization:
        raise ConversionError(
            f"the checkpoint is quantized ({config.quantization}); import the original weights, or convert it with "
            "llama.cpp's convert_hf_to_gguf.py and create from the GGUF"
        )
    return found
