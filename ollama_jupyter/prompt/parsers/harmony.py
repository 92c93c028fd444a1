"""OpenAI's harmony format: an answer is a row of messages, each with a channel, and a recipient where it is a call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ollama_jupyter.messages import Tool, ToolCall
from ollama_jupyter.prompt.identifiers import identifiers, tool_names
from ollama_jupyter.prompt.output import Piece, Setup
from ollama_jupyter.prompt.parsers.bodies import MAX_CALL, call
from ollama_jupyter.prompt.parsers.literals import Malformed, loads
from ollama_jupyter.prompt.split import find, possible

START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>")
TAGS = (START, CHANNEL, MESSAGE, CONSTRAIN, *_ENDS)

_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_MAX_HEADER = 4096

Kind = Literal["thinking", "text", "call", "nothing"]


class Harmony:
    """Parts the messages of an answer: analysis is thinking, what is for a function is a call, the rest is text."""

    def __init__(self, setup: Setup) -> None:
        self._tools = setup.tools
        self._names = {identifier: name for name, identifier in identifiers(tool_names(setup.tools)).items()}
        self._think = setup.think
        self._held = ""
        self._header: str | None = ""  # None inside a message
        self._started = False  # whether this answer itself has begun the message
        self._opening(setup.prompt)
        self._pieces: list[Piece] = []
        self._call = ""

    def _opening(self, prompt: str) -> None:
        """The prompt may have opened a message already, or leave all of it to the model."""
        tail = prompt.rpartition(START)[2] if START in prompt else ""
        self._kind: Kind = "text"
        header, opened, _ = tail.partition(MESSAGE)
        if opened and not any(end in tail for end in _ENDS):
            self._begin(header)
        else:
            self._header = header if not opened else ""

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        while self._in_header() if self._header is not None else self._in_message():
            pass
        return self._given()

    def finish(self) -> list[Piece]:
        rest, self._held = self._held, ""
        if self._header is None:  # an unfinished header is nothing that was said
            self._say(rest)
            self._end_message()
        return self._given()

    def _given(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces

    # ---- one step: whether another may follow at once

    def _in_header(self) -> bool:
        if self._lost_format():
            self._kind, self._header = "text", None
            return True
        at, tag = find(self._held, (MESSAGE, START, *_ENDS))
        if at < 0:
            return False
        header = (self._header or "") + self._held[:at]
        self._held = self._held[at + len(tag) :]
        if tag == MESSAGE:
            self._begin(header)
        else:  # a message without a content
            self._header, self._started = "", tag == START
        return True

    def _lost_format(self) -> bool:
        """Whether the model just talks, or its header does not end."""
        begun = (self._header or "") + self._held
        if self._started:
            return MESSAGE not in begun and len(begun) > _MAX_HEADER
        rest = begun.lstrip()
        if "assistant".startswith(rest):
            return False
        rest = rest.removeprefix("assistant").lstrip()
        return bool(rest) and not any(mark.startswith(rest[: len(mark)]) for mark in (*TAGS, "to="))

    def _begin(self, header: str) -> None:
        channels = _CHANNEL.findall(header)  # a model that changes its mind writes another one
        recipient = _RECIPIENT.search(header)
        name = channels[-1] if channels else ""
        self._header = None
        self._call = ""
        if recipient and recipient.group(1) != "assistant" and name != "final":
            self._kind = "call"
            self._recipient = recipient.group(1)
        else:
            self._kind = "thinking" if name == "analysis" else "text"

    def _in_message(self) -> bool:
        at, tag = find(self._held, (*_ENDS, START))
        certain = at if at >= 0 else len(self._held) - possible(self._held, (*_ENDS, START))
        self._say(self._held[:certain])
        self._held = self._held[certain:]
        if at < 0:
            return False
        self._end_message()
        self._held = self._held[len(tag) :]
        self._header, self._started = "", tag == START
        return True

    def _say(self, text: str) -> None:
        if not text:
            return
        if self._kind == "text":
            self._pieces.append(Piece(text))
        elif self._kind == "thinking" and self._think:
            self._pieces.append(Piece(thinking=text))
        elif self._kind == "call":
            self._call += text

    def _end_message(self) -> None:
        if self._kind != "call" or not (self._call or self._header is None):
            return
        text, self._call = self._call, ""
        self._kind = "nothing"
        try:
            self._pieces.append(Piece(call=self._made(text, self._tools)))
        except Malformed as error:
            self._pieces.append(Piece(text or self._recipient, error=str(error)))

    def _made(self, text: str, tools: Sequence[Tool]) -> ToolCall:
        if len(text) > MAX_CALL:
            raise Malformed(f"it is longer than {MAX_CALL} characters")
        shown = self._recipient.removeprefix("functions.").partition("<|")[0]
        return call(self._names.get(shown, shown), loads(text) if text.strip() else {}, tools)
