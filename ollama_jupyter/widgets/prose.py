"""A model's Markdown as HTML that can neither run nor load anything.

ipywidgets puts an HTML widget's value into the page as it stands. So everything here is escaped, except for the tags
that the renderer below writes itself; links keep only harmless schemes, and images become links, because loading one
would tell its host what was read.
"""

from __future__ import annotations

import html
from typing import Any

import mistune

from ollama_jupyter.notebook.markdown import safe_text

_HARMLESS = ("http://", "https://", "mailto:")


def prose(text: str) -> str:
    """The HTML of `text`. What the Markdown parser gives up on is shown as it stands."""
    plain = safe_text(text)
    try:
        return str(_MARKDOWN(plain))
    except Exception:  # RecursionError and the like: the words matter more than their looks
        return f'<pre style="white-space: pre-wrap">{html.escape(plain)}</pre>'


class _Renderer(mistune.HTMLRenderer):
    """HTML of our own tags only."""

    def __init__(self) -> None:
        super().__init__(escape=True)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if not url.lower().startswith(_HARMLESS):
            return text
        return f'<a href="{html.escape(url)}" target="_blank" rel="noopener noreferrer">{text}</a>'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return self.link(text or html.escape(url), url)

    def block_code(self, code: str, info: str | None = None, **_: Any) -> str:
        return f"<pre><code>{html.escape(code)}</code></pre>\n"


_MARKDOWN = mistune.create_markdown(renderer=_Renderer(), plugins=["table", "strikethrough"])
