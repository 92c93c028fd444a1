"""The slow verbs that need no loaded model: list, show, create, copy, delete, and the blobs that clients upload."""

from __future__ import annotations

from ollama_jupyter.library.verbs import BlobUpload, Library

__all__ = ["BlobUpload", "Library"]
