"""One exchange with the server: the request, the stream as it arrives, and the measurements at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_jupyter.client.connect import Server
from ollama_jupyter.notebook.conversation import Turn
from ollama_jupyter.notebook.display import Screen
from ollama_jupyter.notebook.result import INTERRUPTED, Result, Stats, Truncation

if TYPE_CHECKING:
    import httpx
    import ollama

    from ollama_jupyter.client.hangup import Hangup


@dataclass
class Answer:
    """An answer while it grows: what has come so far, and the final chunk once it is there."""

    model: str
    text: str = ""
    chunks: int = 0
    final: Any = None
    truncated: Truncation | None = None
    started: float = field(default_factory=time.monotonic)

    def result(self, done_reason: str = "") -> Result:
        """The answer as a value. Without a final chunk the counts are what was seen here."""
        return Result(self.text, self.model, self._stats(done_reason) if self.final is None else self._final_stats())

    def _stats(self, done_reason: str) -> Stats:
        seconds = time.monotonic() - self.started
        return Stats(self.chunks, seconds, self.chunks / seconds if seconds else 0.0, done_reason=done_reason)

    def _final_stats(self) -> Stats:
        chunk = self.final
        tokens, decoding = chunk.eval_count or 0, (chunk.eval_duration or 0) / 1e9
        return Stats(
            tokens=tokens,
            seconds=(chunk.total_duration or 0) / 1e9,
            tokens_per_second=tokens / decoding if decoding else 0.0,
            prompt_tokens=chunk.prompt_eval_count or 0,
            load_seconds=(chunk.load_duration or 0) / 1e9,
            done_reason=chunk.done_reason or "stop",
            truncated=self.truncated,
        )

    def watch(self, response: httpx.Response) -> None:
        """Read `truncated` from the lines as they pass: the client drops fields that Ollama does not know."""
        lines = response.iter_lines

        def watched() -> Iterator[str]:
            for line in lines():
                if '"truncated"' in line:
                    self._note_truncation(json.loads(line).get("truncated"))
                yield line

        response.iter_lines = watched  # type: ignore[method-assign]

    def _note_truncation(self, said: object) -> None:
        if isinstance(said, dict):
            self.truncated = Truncation(*(int(said.get(key, 0)) for key in ("messages", "tokens", "num_ctx")))


def ask(
    server: Server,
    model: str,
    messages: Sequence[Turn],
    options: Mapping[str, Any],
    screen: Screen,
    hangup: Hangup | None = None,
) -> Result:
    """Ask, and show the answer while it comes. One that Interrupt or `hangup` ended is returned as far as it came.

    Raises:
        OllamaError: for everything that the server or the way to it has to complain about.
    """
    answer = Answer(model)
    try:
        with server.answering(), server.client(on_response=answer.watch, hangup=hangup) as client:
            chunks = client.chat(model=model, messages=messages, stream=True, options=dict(options))
            # Closing the stream closes the connection, which is how the server learns that nobody listens any more.
            with closing(chunks):
                _read(chunks, answer, screen)
        result = answer.result(INTERRUPTED if hangup else "")
    except BaseException as end:
        if not hangup and not isinstance(end, KeyboardInterrupt):
            screen.finish(answer.text, str(answer.result().stats) if answer.text else "no answer")
            raise
        result = answer.result(INTERRUPTED)
    screen.finish(result.text, str(result.stats))
    return result


def _read(chunks: Iterator[ollama.ChatResponse], answer: Answer, screen: Screen) -> None:
    for chunk in chunks:
        if chunk.message.content:
            answer.text += chunk.message.content
            answer.chunks += 1
            screen.update(answer.text)
        if chunk.done:
            answer.final = chunk
