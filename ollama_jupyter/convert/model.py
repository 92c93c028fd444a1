"""The steps of a conversion: configuration, tensors, vocabulary, file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ollama_jupyter.convert.config import Config, read_config
from ollama_jupyter.convert.families import Family, family_of
from ollama_jupyter.convert.folder import Folder
from ollama_jupyter.convert.safetensors import Checkpoint, Tensor, open_checkpoint
from ollama_jupyter.convert.vocabulary import vocabulary_metadata
from ollama_jupyter.convert.weights import Weight
from ollama_jupyter.convert.writer import Metadata, Report, file_type, write_gguf
from ollama_jupyter.errors import ConversionError
from ollama_jupyter.gguf import read_header

Plan = list[tuple[Weight, Tensor]]


def convert_model(folder: Path, target: Path, report: Report) -> None:
    """As `ollama_jupyter.convert.convert_model`."""
    files = Folder(folder)
    config = read_config(files)
    family = family_of(config)
    config = config.over(family.DEFAULTS)
    plan = _plan(family, config, open_checkpoint(files))
    try:
        metadata = _general(plan) | family.metadata(files, config) | vocabulary_metadata(files, config)
        write_gguf(target, family.NAME, metadata, plan, report, family.extras(config))
        read_header(target)  # a configuration can be well-formed and still describe nothing that llama.cpp runs
    except UnicodeEncodeError:
        target.unlink(missing_ok=True)
        raise ConversionError("a text in the tokenizer's files is half a surrogate pair") from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _general(plan: Plan) -> Metadata:
    return {"general.type": "model", "general.file_type": file_type(plan), "general.quantization_version": 2}


def _plan(family: Family, config: Config, checkpoint: Checkpoint) -> Plan:
    """Each tensor to write with the one that it comes from.

    Raises:
        ConversionError: if one is missing or of another shape, or one is there that such a model does not have.
    """
    sources = _by_name(family, checkpoint)
    plan: Plan = []
    for weight in _wanted(family.weights(config), sources):
        tensor = sources.pop(weight.source)
        weight.check(tensor)
        plan.append((weight, tensor))
    if config.has("tie_word_embeddings") and config.flag("tie_word_embeddings", False):
        sources.pop("lm_head.weight", None)  # a copy of the embeddings
    if sources:
        name = min(sources)
        raise ConversionError(f'tensor "{name[:80]}" is not one that {config.architecture} has ({len(sources)} such)')
    return plan


def _by_name(family: Family, checkpoint: Checkpoint) -> dict[str, Tensor]:
    sources: dict[str, Tensor] = {}
    for name, tensor in checkpoint.items():
        plain = family.source_name(name)
        if plain in sources:
            raise ConversionError(f'tensor "{name[:80]}" is there twice under different names')
        if plain is not None:
            sources[plain] = tensor
    return sources


def _wanted(weights: Iterable[Weight], sources: dict[str, Tensor]) -> Iterable[Weight]:
    for weight in weights:
        if weight.source in sources:
            yield weight
        elif weight.required:
            raise ConversionError(f'tensor "{weight.source}" is missing')
