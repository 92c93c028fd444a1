"""LoRA adapters of PEFT to GGUF."""

from __future__ import annotations

from pathlib import Path

from ollama_jupyter.convert.writer import Report
from ollama_jupyter.errors import ConversionError
from ollama_jupyter.gguf import GGUFHeader


def convert_adapter(folder: Path, target: Path, base: GGUFHeader, report: Report) -> None:
    """As `ollama_jupyter.convert.convert_adapter`."""
    raise ConversionError("adapters in safetensors cannot be converted yet")
