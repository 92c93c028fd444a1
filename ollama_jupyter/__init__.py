"""Private local language models inside Jupyter. Entry points only: every import below is lazy, to keep this cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from ollama_jupyter.server.extension import OllamaExtension

    return [{"module": "ollama_jupyter", "app": OllamaExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "ollama-jupyter"}]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%ollama` and `%%ollama`: what `%load_ext ollama_jupyter` calls."""
    from ollama_jupyter.notebook.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Undo `load_ipython_extension`."""
    from ollama_jupyter.notebook.magics import unregister

    unregister(shell)
