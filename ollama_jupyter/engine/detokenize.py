"""Token bytes to text: never half a character, and stop strings cut out wherever tokens happen to break."""

from __future__ import annotations

import codecs


class TextStream:
    """Feed token bytes to `decode`, end with `flush`. After a stop string was met, `stopped` is true.

    Holds back only what may be the beginning of a stop string, or of a character. `decoded` and `released` count the
    characters that came in and went out; `stop_sequence` is the stop string that was met.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = stop
        self._held = ""
        self.stop_sequence = ""
        self.decoded = self.released = 0

    @property
    def stopped(self) -> bool:
        return bool(self.stop_sequence)

    def decode(self, data: bytes) -> str:
        """The text that is now certain. Empty once stopped."""
        if self.stopped:
            return ""
        return self._release(self._utf8.decode(data), final=False)

    def flush(self) -> str:
        """What is left: a held-back beginning that came to nothing. Bytes of an unfinished character are dropped."""
        return "" if self.stopped else self._release("", final=True)

    def _release(self, new: str, *, final: bool) -> str:
        self.decoded += len(new)
        text = self._held + new
        found = self._earliest_stop(text)
        if found is not None:
            end, self.stop_sequence = found
            self._held = ""
        else:
            end = len(text) - (0 if final else max((_overlap(text, stop) for stop in self._stop), default=0))
            self._held = text[end:]
        self.released += end
        return text[:end]

    def _earliest_stop(self, text: str) -> tuple[int, str] | None:
        found = [(at, stop) for at, stop in ((text.find(stop), stop) for stop in self._stop) if at >= 0]
        return min(found) if found else None


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a proper beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
