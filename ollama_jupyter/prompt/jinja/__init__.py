"""Chat templates of GGUF files: the Jinja that Hugging Face publishes, run over plain data within a budget.

Templates are strangers' code. jinja2 compiles them to Python and bounds neither time nor memory; MiniJinja has fuel,
but string doubling and `indent` of a huge width still end the process. So jinja2 only parses here, and the tree is
interpreted by us: every loop, string and list is paid for before it is made.
"""

from __future__ import annotations

from ollama_jupyter.prompt.jinja.chat import render_chat
from ollama_jupyter.prompt.jinja.run import render

__all__ = ["render", "render_chat"]
