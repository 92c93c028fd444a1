"""What a pull, a push or a create is doing, on stderr: bars that are redrawn on a terminal, plain lines elsewhere.

with Bars() as bars:
    for step in client.pull(model, stream=True):
        bars.show(step)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ollama_jupyter.cli.bar import Bar, Status

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

FRAME_SECONDS = 0.1
PLAIN_SECONDS = 5.0
"""How long a log is spared a line about a bar that has not ended."""
_MOST = 2**63


class Step(Protocol):
    """A line of the server's stream: the `ollama` client's ProgressResponse, or anything with its fields."""

    @property
    def status(self) -> Any: ...
    @property
    def digest(self) -> Any: ...
    @property
    def total(self) -> Any: ...
    @property
    def completed(self) -> Any: ...


class Bars:
    """A display for as long as a `with` block lasts. Leaving it by an error leaves what was drawn; `clear` does not."""

    def __init__(self, stream: TextIO | None = None) -> None:
        out = sys.stderr if stream is None else stream
        self._display: _Drawn | _Plain = _Drawn(out) if out.isatty() else _Plain(out)
        self._bars: dict[str, Bar] = {}
        self._status: Status | None = None

    def __enter__(self) -> Bars:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_status()
        self._display.stop()

    def clear(self) -> None:
        """Take everything off the terminal again; nothing more is shown."""
        self._end_status()
        self._display.clear()

    def show(self, step: Step) -> None:
        """Take in one line of progress: those with a digest or a total are bars, the others a status.

        Bars of nothing yet are not drawn: a pull announces every layer at once, and Ollama's shows those at work.
        """
        text, total, completed = str(step.status or ""), _count(step.total), _count(step.completed)
        key = str(step.digest or (text if total else ""))
        if key in self._bars or (key and completed):
            self._end_status()
            self._set_bar(key, text, total, completed)
        elif not step.digest:
            self.status(text)

    def status(self, text: str) -> None:
        """The step that is now worked on; the same text again changes nothing."""
        if not text or (self._status and self._status.text == text):
            return
        self._end_status()
        self._status = Status(text)
        self._display.add(self._status)

    def restate(self, begins: str, text: str) -> None:
        """A step that tells its progress in its text: the same line as before if that one `begins` so too.

        In a log it is told once, when it began.
        """
        if isinstance(self._display, _Plain):
            self.status(begins)
        elif self._status is None or not self._status.text.startswith(begins):
            self.status(text)
        else:
            self._status.text = text

    def _end_status(self) -> None:
        if self._status:
            self._status.done = True
        self._status = None

    def _set_bar(self, digest: str, text: str, total: int, completed: int) -> None:
        bar = self._bars.get(digest)
        if bar is None:
            # Both programs send `pulling b179c9523d0e`; the colon is their clients' own.
            label = f"{text}:" if text.startswith("pulling ") else text
            bar = self._bars[digest] = Bar(label or f"pulling {digest[7:19]}:", total, completed)
            self._display.add(bar)
        bar.set(completed)
        self._display.changed(bar)


def _count(said: int | None) -> int:
    """Bytes that a server speaks of. A number out of all bounds must not end the thread that draws it."""
    return max(0, min(said or 0, _MOST))


class _Plain:
    """Lines for a log: each status once, and now and then how far a bar is."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._told: dict[Bar, float] = {}

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    clear = stop

    def add(self, item: Bar | Status) -> None:
        if isinstance(item, Status):
            self._tell(item)

    def changed(self, bar: Bar) -> None:
        told = self._told.get(bar, 0.0)
        if told != float("inf") and (bar.done or time.monotonic() > told + PLAIN_SECONDS):
            self._told[bar] = float("inf") if bar.done else time.monotonic()
            self._tell(bar)

    def _tell(self, item: Bar | Status) -> None:
        print(item.plain(), file=self._out, flush=True)


class _Drawn:
    """Lines on a terminal, drawn over and over by rich, on a thread of its own: spinners turn while we wait."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._items: list[Bar | Status] = []
        self._live = Live(
            self,
            console=Console(file=out, highlight=False),
            refresh_per_second=1 / FRAME_SECONDS,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        self._live.start()

    def add(self, item: Bar | Status) -> None:
        self._items.append(item)

    def changed(self, bar: Bar) -> None:
        pass

    def stop(self) -> None:
        self._live.stop()

    def clear(self) -> None:
        self._live.transient = True
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The newest of the lines, as many as the terminal has."""
        from rich.text import Text

        for item in self._items[-options.size.height :]:
            yield Text(item.line(options.max_width), no_wrap=True, overflow="crop")
