"""Bounded reader of GGUF headers: the door that every model file passes before llama.cpp may see it.

Pure Python over plain reads; no llama.cpp, no numpy, no memory map (a mapped file that shrinks kills the process).
Layout by the GGUF specification of ggml (docs/gguf.md), limits by llama.cpp's and Ollama's own.
"""

from __future__ import annotations

from ollama_jupyter.gguf.header import GGUFHeader, Tensor
from ollama_jupyter.gguf.reader import read_header
from ollama_jupyter.gguf.shards import join, order
from ollama_jupyter.gguf.values import Array, Value

__all__ = ["Array", "GGUFHeader", "Tensor", "Value", "join", "order", "read_header"]
