"""A small executor of Go's text/template, the language of a Modelfile's TEMPLATE.

Written after the behaviour of Go 1.26's `text/template` as Ollama uses it: option `missingkey=zero`, Ollama's extra
functions, and its rule that a template which mentions neither `.Messages` nor `.Response` gets `{{ .Response }}`
appended. Templates are strangers' code: they reach nothing but the plain data they are given, and every run has a
budget of steps and characters.
"""

from __future__ import annotations

from ollama_jupyter.prompt.gotemplate.analysis import thinking_tags, tool_call_tag
from ollama_jupyter.prompt.gotemplate.template import Template, parse
from ollama_jupyter.prompt.gotemplate.values import JSONList, JSONMap, PropertyType, Struct

__all__ = ["JSONList", "JSONMap", "PropertyType", "Struct", "Template", "parse", "thinking_tags", "tool_call_tag"]
