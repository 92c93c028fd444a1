"""Builtin renderers: the chat formats of families whose models name them in place of a template."""

from __future__ import annotations

from ollama_jupyter.prompt.renderers.table import Render, names, renderer_named

__all__ = ["Render", "names", "renderer_named"]
