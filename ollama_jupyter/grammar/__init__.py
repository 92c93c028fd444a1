"""What an answer may be, as grammars: JSON Schemas, patterns, lists of texts, and calls of tools.

Pure text work: grammars are in llguidance's Lark dialect, compiled by `engine.constrain`. `check` says early what
cannot be held, `plan` writes the grammar of one answer, `explain` says more of a grammar that does not compile.
"""

from __future__ import annotations

from ollama_jupyter.grammar.answer import check, plan
from ollama_jupyter.grammar.describe import describe_tools
from ollama_jupyter.grammar.refusal import explain

__all__ = ["check", "describe_tools", "explain", "plan"]
