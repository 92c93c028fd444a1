"""What `%%ollama` leaves behind: the answer as a value, with its measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ollama_jupyter.notebook.markdown import safe_markdown, safe_text

INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Truncation:
    """What did not fit: whole earlier messages, tokens in all, and the context that they did not fit into."""

    messages: int
    tokens: int
    num_ctx: int

    def __str__(self) -> str:
        what = _count(self.messages, "earlier message") if self.messages else _count(self.tokens, "token")
        return f"{what} did not fit into {self.num_ctx} tokens"


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts in tokens, times in seconds. `done_reason` is stop, length, interrupted, or empty for a broken stream."""

    tokens: int = 0
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    prompt_tokens: int = 0
    load_seconds: float = 0.0
    done_reason: str = ""
    truncated: Truncation | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the model came to an end of its own, or to the limit asked for."""
        return self.done_reason not in ("", INTERRUPTED)

    def __str__(self) -> str:
        """The line under an answer."""
        parts = [_count(self.tokens, "token"), f"{self.tokens_per_second:.1f} tokens/s", f"{self.seconds:.1f} s"]
        if self.load_seconds >= 1:
            parts.append(f"{self.load_seconds:.1f} s of it loading the model")
        if self.done_reason != "stop":
            parts.append({"length": "length limit reached", "": "ended early"}.get(self.done_reason, self.done_reason))
        if self.truncated:
            parts.append(str(self.truncated))
        return " · ".join(parts)


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """An answer. `str()` of it is the text; shown as a cell's value it is rendered as Markdown."""

    text: str
    model: str
    stats: Stats

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else self.text[:59] + "…"
        return f"Result({text!r}, model={self.model!r}, tokens={self.stats.tokens})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": safe_text(self.text), "text/markdown": safe_markdown(self.text)}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
