"""Builtin renderers: the chat formats of families whose models name them in place of a template."""

from __future__ import annotations

from ollama_jupyter.prompt.renderers.common import Render
from ollama_jupyter.prompt.renderers.table import names, renderer_named

__all__ = ["Render", "names", "renderer_named"]
