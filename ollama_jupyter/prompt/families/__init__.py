"""Built-in templates: the chat formats of families in Go's language, for models that come without such a layer."""

from __future__ import annotations

from ollama_jupyter.prompt.families.match import autodetect
from ollama_jupyter.prompt.families.table import FAMILIES, Family, family

__all__ = ["FAMILIES", "Family", "autodetect", "family"]
