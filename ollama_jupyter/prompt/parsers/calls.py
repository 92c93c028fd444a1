"""Finding calls of tools in an answer as it streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ollama_jupyter.messages import Tool, ToolCall
from ollama_jupyter.prompt.output import Piece
from ollama_jupyter.prompt.parsers.bodies import MAX_CALL, Body, call, functions, json_calls
from ollama_jupyter.prompt.parsers.literals import Malformed, loads
from ollama_jupyter.prompt.parsers.values import Value
from ollama_jupyter.prompt.split import find, possible

_MAX_TRIES = 4
"""How often a closing tag may turn out to be part of a text, where that can only be told by reading all of it."""


@dataclass(frozen=True, slots=True)
class Calls:
    """How calls are marked.

    Args:
        begin: what each call, or each list of calls, begins with; several where a family has more than one way.
        end: what it ends with; "" where the end of its JSON value is the end.
        body: reads what stands between.
        silent: tags around calls and texts that mean nothing by themselves.
        bodies: beginnings without a tag in front, which belong to the body, and how such a call ends.
        strays: tags that mean nothing where tools are offered: what is left over of such a call.
        bare: JSON at the very beginning of an answer may be a call, without any tag.
    """

    begin: tuple[str, ...] = ()
    end: str = ""
    body: Body = json_calls
    silent: tuple[str, ...] = ()
    bodies: tuple[tuple[str, str], ...] = ()
    strays: tuple[str, ...] = ()
    bare: bool = False

    def tags(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """What to look for in a text."""
        offered = (*self.begin, *(begin for begin, _ in self.bodies), *self.strays) if tools else ()
        return (*offered, *self.silent)


class CallSplitter:
    """Parts calls from text. What begins as a call and is none is text with an error; what follows is text again."""

    def __init__(self, calls: Calls, tools: Sequence[Tool]) -> None:
        self._calls = calls
        self._tools = tools
        self._tags = calls.tags(tools)
        self._nothing = (*calls.silent, *calls.strays)
        self._bare = calls.bare and bool(tools)
        self._held = ""
        self._open: _Call | None = None
        self._called = False  # blanks and separators behind a call are nobody's
        self._pieces: list[Piece] = []

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        while self._in_call() if self._open else self._in_text():
            pass
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> list[Piece]:
        if self._open:
            self._pieces += self._open.finish(self._held)
            self._open = None
        elif self._held and not self._called:
            self._pieces.append(Piece(self._held))
        self._held = ""
        pieces, self._pieces = self._pieces, []
        return pieces

    # ---- one step: whether another may follow at once

    def _in_call(self) -> bool:
        assert self._open is not None
        done = self._open.feed(self._held)
        if done is None:
            self._held = ""
            return False
        pieces, self._held = done
        self._pieces += pieces
        self._called = any(piece.call for piece in pieces)
        self._open = None
        self._bare = self._bare and self._called
        return True

    def _in_text(self) -> bool:
        if self._called and not self._past_separators():
            return False
        if self._bare and (decided := self._begins_bare()) is not True:
            return bool(decided)
        return self._to_tag() if not self._open else True

    def _past_separators(self) -> bool:
        """Whether something other than what may stand between calls has come."""
        marks = " \t\r\n,;" if self._bare or not self._calls.end else " \t\r\n"
        self._held = self._held.lstrip(marks)
        return bool(self._held)

    def _begins_bare(self) -> bool | None:
        """True: it is decided what comes. None: more text is needed."""
        text = self._held.lstrip()
        if not text:
            return None
        if text.startswith(("{", "[{")) or text == "[":
            if text == "[":
                return None
            self._open = _Call(self._calls, self._tools, "", lenient=not self._called)
            self._called = False
            return True
        self._bare = any(tag.startswith(text) or text.startswith(tag) for tag in self._tags)
        return True

    def _to_tag(self) -> bool:
        at, tag = find(self._held, self._tags)
        certain = at if at >= 0 else len(self._held) - possible(self._held, self._tags)
        if certain:
            self._called = self._bare = False
            self._pieces.append(Piece(self._held[:certain]))
        self._held = self._held[certain:]
        if at < 0:
            return False
        self._held = self._held[len(tag) :]
        if tag not in self._nothing:
            self._called = False
            self._open = _Call(self._calls, self._tools, tag)
        return True


class _Call:
    """One call, or list of calls, in the making. `lenient`: it may be no call at all, and then it is plain text."""

    def __init__(self, calls: Calls, tools: Sequence[Tool], tag: str, *, lenient: bool = False) -> None:
        self._calls = calls
        self._tools = tools
        self._tag = tag
        self._end = dict(calls.bodies).get(tag, calls.end) if tag else ""
        self._head = tag if tag in dict(calls.bodies) else ""
        self._lenient = lenient
        self._text = ""
        self._searched = 0
        self._tries = 0
        self._value = Value()

    def feed(self, text: str) -> tuple[list[Piece], str] | None:
        """The pieces and the text behind them, or None while the end has not come."""
        self._text += text
        if len(self._text) > MAX_CALL:
            return self._no_call(f"it is longer than {MAX_CALL} characters", len(self._text))
        return self._to_end() if self._end else self._to_value()

    def finish(self, text: str) -> list[Piece]:
        """The answer has ended. A call may do without its closing tag."""
        done = self.feed(text)
        if done is not None:
            pieces, rest = done
            return [*pieces, Piece(rest)] if rest.strip() else pieces
        try:
            return self._made(self._text)
        except Malformed as error:
            return self._no_call(str(error), len(self._text))[0]

    def _to_end(self) -> tuple[list[Piece], str] | None:
        while (at := self._text.find(self._end, self._searched)) >= 0:
            behind = self._searched = at + len(self._end)
            if self._quoted(at):
                continue
            try:
                return self._made(self._text[:at]), self._text[behind:]
            except Malformed as error:
                self._tries += 1
                if not error.in_string or self._tries > _MAX_TRIES:
                    return self._no_call(str(error), behind)
        self._searched = max(self._searched, len(self._text) - len(self._end) + 1)
        return None

    def _quoted(self, at: int) -> bool:
        """Whether the closing tag stands inside a string of a JSON value."""
        if self._calls.body is not json_calls:
            return False
        self._value.feed(self._text[:at])
        return self._value.in_string

    def _to_value(self) -> tuple[list[Piece], str] | None:
        end = self._value.feed(self._text)
        if self._lenient and not self._may_be_call():
            return [Piece(self._text)], ""
        if end is None:
            return None
        try:
            return self._made(self._text[:end]), self._text[end:]
        except Malformed as error:
            return self._no_call(str(error), end)

    def _may_be_call(self) -> bool:
        """Whether the first key is one of a call's: other JSON is an answer."""
        key = self._value.first_key(self._text)
        known = ("name", "type", "function", "id", "arguments", "parameters", "tool_name", "tool_call_id")
        return key is None or key in known or key in functions(self._tools)

    def _made(self, text: str) -> list[Piece]:
        head = self._value.start if not self._end and self._tag else None
        if head:
            return [Piece(call=one) for one in self._headed(text[:head], text[head:])]
        return [Piece(call=one) for one in self._calls.body(self._head + text, self._tools)]

    def _headed(self, head: str, value: str) -> list[ToolCall]:
        """A value with a text in front: the name of a tool, as Mistral writes it, or nothing that matters."""
        name = head.partition("[ARGS]")[0].partition("[CALL_ID]")[0].strip()
        if not name:
            return self._calls.body(value, self._tools)
        known = [one for one in functions(self._tools) if one and one in name]
        exact = name if name in known else max(known, key=len, default=name)
        return [call(exact, loads(value), self._tools)]

    def _no_call(self, reason: str, end: int) -> tuple[list[Piece], str]:
        text = self._tag + self._text[:end]
        answer = self._lenient and not any(f'"{key}"' in text for key in ("arguments", "parameters"))
        error = "" if answer else reason
        return ([Piece(text, error=error)] if text else []), self._text[end:]
