"""Splitting an answer as it streams: tags are found however it is cut, and no more is held back than might be one.

Splitters compose: each takes text and gives pieces, and what one leaves as text the next one looks into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ollama_jupyter.prompt.output import Parser, Piece, Thinking


def find(text: str, tags: Iterable[str]) -> tuple[int, str]:
    """Where the first of the tags stands, and which: the longest of those that begin there. (-1, "") without any."""
    found = [(at, -len(tag), tag) for tag in tags if (at := text.find(tag)) >= 0]
    return (min(found)[0], min(found)[2]) if found else (-1, "")


def possible(text: str, tags: Iterable[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a tag."""
    return max((_overlap(text, tag) for tag in tags), default=0)


def _overlap(text: str, tag: str) -> int:
    longest = min(len(text), len(tag) - 1)
    return next((count for count in range(longest, 0, -1) if text.endswith(tag[:count])), 0)


class ThinkingSplitter:
    """Parts a block of thinking at the beginning of an answer from the rest.

    The opening tag must come first, unless the prompt has `opened` the block. Blanks behind both tags belong to
    nobody. `ends` are tags that end the thinking too and are not eaten: a call that begins inside. Thinking that is
    not `wanted` is left out wherever it stands, and so are its tags; without a closing tag it was the answer after all.
    """

    def __init__(self, tags: Thinking, *, opened: bool, wanted: bool, ends: Sequence[str] = ()) -> None:
        self._tags = tags
        self._ends = (tags.close, *ends)
        self._wanted = wanted
        self._step = self._inside if opened else self._before
        self._held = ""
        self._blanks = opened  # blanks that come now are eaten
        self._unwanted: list[str] = []
        self._pieces: list[Piece] = []

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        while self._step():
            pass
        return self._given()

    def finish(self) -> list[Piece]:
        rest, self._held = self._held, ""
        if self._step == self._inside:
            self._think(rest)
            self._say("".join(self._unwanted))
        else:
            self._say(rest)
        return self._given()

    def _given(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def _say(self, text: str) -> None:
        if text:
            self._pieces.append(Piece(text))

    def _think(self, text: str) -> None:
        if text and self._wanted:
            self._pieces.append(Piece(thinking=text))
        elif text:
            self._unwanted.append(text)

    # ---- one step: whether another may follow at once

    def _before(self) -> bool:
        text = self._held.lstrip()
        if text.startswith(self._tags.open):
            self._held, self._step, self._blanks = text[len(self._tags.open) :], self._inside, True
            return True
        if self._tags.open.startswith(text):
            return False
        self._step = self._after
        return True

    def _inside(self) -> bool:
        if not self._past_blanks():
            return False
        at, tag = find(self._held, self._ends)
        if at >= 0:
            closed = tag == self._tags.close
            self._think(self._held[:at])
            self._held = self._held[at + len(tag) if closed else at :]
            self._step, self._blanks = self._after, closed
            self._unwanted.clear()
            return True
        certain = len(self._held) - possible(self._held, self._ends)
        self._think(self._held[:certain])
        self._held = self._held[certain:]
        return False

    def _after(self) -> bool:
        if not self._past_blanks():
            return False
        tags = () if self._wanted else (self._tags.open, self._tags.close)
        at, tag = find(self._held, tags)
        end = at if tag else len(self._held) - possible(self._held, tags)
        self._say(self._held[:end])
        self._held = self._held[end + len(tag) :]
        if tag:
            self._blanks = True
            self._step = self._inside if tag == self._tags.open else self._after
        return bool(tag)

    def _past_blanks(self) -> bool:
        if self._blanks:
            self._held = self._held.lstrip()
            self._blanks = not self._held
        return not self._blanks


class Chain:
    """Splitters one behind another: what the first leaves as text goes into the next."""

    def __init__(self, *parsers: Parser) -> None:
        self._parsers = parsers

    def feed(self, text: str) -> list[Piece]:
        return self._from(0, [Piece(text)] if text else [])

    def finish(self) -> list[Piece]:
        pieces: list[Piece] = []
        for place, parser in enumerate(self._parsers):
            pieces += self._from(place + 1, parser.finish())
        return pieces

    def _from(self, place: int, pieces: list[Piece]) -> list[Piece]:
        for parser in self._parsers[place:]:
            pieces = [new for piece in pieces for new in (parser.feed(piece.text) if _is_text(piece) else [piece])]
        return pieces


def _is_text(piece: Piece) -> bool:
    return bool(piece.text) and not piece.error
