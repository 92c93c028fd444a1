"""The main path: requests in, chunks of answers out."""

from __future__ import annotations

from ollama_jupyter.service.service import Service

__all__ = ["Service"]
