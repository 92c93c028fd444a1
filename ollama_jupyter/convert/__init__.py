"""Safetensors directories to GGUF, without torch: one module for each model family.

What is written follows llama.cpp's own converter (`--outtype auto`): matrices stay BF16 where they are BF16 and become
F16 where they are F16 or F32; vectors, such as norms and biases, are F32. The same files give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from ollama_jupyter.convert.writer import Report
from ollama_jupyter.gguf import GGUFHeader

__all__ = ["convert_adapter", "convert_model"]


def convert_model(folder: Path, target: Path, report: Report) -> None:
    """Write the model in `folder` (config.json, tokenizer files, *.safetensors) to the new file `target` as GGUF.

    `report` is told the bytes that are done and their total.

    Raises:
        ConversionError: in one line, if the model is of no supported kind, or its files are missing or malformed.
        InvalidGGUF: if what was written is nothing that llama.cpp could load.
        OSError: if `target` cannot be written.
    """
    from ollama_jupyter.convert.model import convert_model as convert

    convert(folder, target, report)


def convert_adapter(folder: Path, target: Path, base: GGUFHeader, report: Report) -> None:
    """Write the LoRA adapter in `folder` (PEFT's adapter_config.json and adapter_model.safetensors) to `target`.

    `base` is the header of the model that it belongs to.

    Raises:
        ConversionError: in one line, if the adapter is of no supported kind, or does not fit the base.
        OSError: if `target` cannot be written.
    """
    from ollama_jupyter.convert.adapter import convert_adapter as convert

    convert(folder, target, base, report)
