"""Token bytes to text: never half a character, and stop strings cut out wherever tokens happen to break."""

from __future__ import annotations

import codecs


class TextStream:
    """Feed token bytes to `decode`, end with `flush`. After a stop string was met, `stopped` is true.

    Holds back only what may be the beginning of a stop string, or of a character.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = stop
        self._held = ""
        self.stopped = False

    def decode(self, data: bytes) -> str:
        """The text that is now certain. Empty once stopped."""
        if self.stopped:
            return ""
        return self._release(self._utf8.decode(data), final=False)

    def flush(self) -> str:
        """What is left: a held-back beginning that came to nothing. Bytes of an unfinished character are dropped."""
        return "" if self.stopped else self._release("", final=True)

    def _release(self, text: str, *, final: bool) -> str:
        text = self._held + text
        cut = self._earliest_stop(text)
        if cut is not None:
            self.stopped = True
            self._held = ""
            return text[:cut]
        keep = 0 if final else max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _earliest_stop(self, text: str) -> int | None:
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        return min(found) if found else None


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a proper beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
