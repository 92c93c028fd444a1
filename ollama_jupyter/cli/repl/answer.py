"""One exchange with the server: a stream, shown while it comes, and what it came to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ollama_jupyter.cli.repl.cut import Cut
from ollama_jupyter.cli.repl.timings import timings
from ollama_jupyter.cli.repl.view import View
from ollama_jupyter.cli.repl.waiting import Waiting
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError

if TYPE_CHECKING:
    import ollama


@dataclass
class Answer:
    """What has come so far. `final` is the last line of the stream, None where Ctrl-C came before it."""

    text: str = ""
    thinking: str = ""
    final: Any = None
    cut: Cut = field(default_factory=Cut)

    def report(self, *, verbose: bool) -> None:
        """Tell on stderr what did not fit, and the timings if they are wanted."""
        lines = [str(self.cut)] if str(self.cut) else []
        if verbose and self.final is not None:
            lines += timings(self.final)
        for line in lines:
            print(line, file=sys.stderr)

    def read(self, chunks: Iterator[Any], view: View) -> None:
        """Take the stream in, and show it, as it comes.

        Raises:
            OllamaError: if it ends without its last line.
        """
        for chunk in chunks:
            thinking, text, calls = _said(chunk)
            self.thinking += thinking
            self.text += text
            view.thinking(thinking)
            view.content(text)
            view.tool_calls(calls)
            if chunk.done:
                self.final = chunk
        if self.final is None:
            raise OllamaError("the answer ended without its last line")


def ask(server: Server, start: Callable[[ollama.Client], Any], *, wrap: bool, hide_thinking: bool) -> Answer:
    """Ask by `start`, a streaming call of the client, and show the answer. Ctrl-C ends it, here and on the server.

    Raises:
        OllamaError: for everything that the server or the way to it has to complain about.
    """
    answer = Answer()
    with Waiting() as waiting:
        view = View(waiting, wrap=wrap, hide_thinking=hide_thinking)
        try:
            # Closing the stream closes the connection, which is how the server learns that nobody listens any more.
            with (
                server.answering(),
                server.client(on_response=answer.cut.watch) as client,
                closing(start(client)) as chunks,
            ):
                answer.read(chunks, view)
        except KeyboardInterrupt:
            pass
        except OllamaError:
            print("\n" if view.shown else "", end="")  # the message gets a line of its own
            raise
        finally:
            view.finish()
    return answer


def _said(chunk: Any) -> tuple[str, str, Sequence[Any]]:
    """Thinking, text and tool calls of a chunk of /api/chat or /api/generate."""
    message = getattr(chunk, "message", None)
    if message is None:
        return chunk.thinking or "", chunk.response or "", ()
    return message.thinking or "", message.content or "", message.tool_calls or ()
