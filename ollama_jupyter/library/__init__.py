"""The slow verbs that need no loaded model: list, show, create, pull, push, copy, delete, and what clients upload."""

from __future__ import annotations

from ollama_jupyter.library.uploads import BlobUpload
from ollama_jupyter.library.verbs import Library

__all__ = ["BlobUpload", "Library"]
