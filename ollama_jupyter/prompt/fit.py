"""Making an over-long prompt fit the context: whole messages first, then tokens.

The rules are Ollama's (`server/prompt.go`, and the runner's input truncation). Ollama finds how many messages to drop
by trying one after another; the token count falls as messages go, so a bisection finds the same cut in log2 tries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ollama_jupyter.errors import PromptTooLong, TemplateError
from ollama_jupyter.messages import Message

Prompt = TypeVar("Prompt")

# A template may refuse a conversation that starts with an assistant turn; one or two messages further it runs again.
_MAX_WALK = 3


@dataclass(frozen=True, slots=True)
class Fitted(Generic[Prompt]):
    """A rendered prompt with its token count. `tokens` may still exceed num_ctx when the last message alone does."""

    prompt: Prompt
    tokens: int
    messages: tuple[Message, ...]
    dropped_messages: int = 0
    dropped_tokens: int = 0


def fit(
    messages: Sequence[Message],
    *,
    render: Callable[[Sequence[Message]], Prompt],
    count: Callable[[Prompt], int],
    num_ctx: int,
    truncate: bool = True,
) -> Fitted[Prompt]:
    """Render as many of the latest messages as num_ctx tokens hold, all earlier system messages kept.

    The last message is always kept, so the result can be longer than num_ctx: then cut tokens, or refuse.

    Raises:
        PromptTooLong: the conversation does not fit and `truncate` is false.
        TemplateError: the template refuses the conversation.
    """
    search = _Search(messages, render, count)
    full = search.at(0)
    if full.tokens <= num_ctx:
        return full
    if not truncate:
        raise too_long(full.tokens, num_ctx)
    best = search.first_fitting(num_ctx) or full
    dropped = len(messages) - len(best.messages)
    return Fitted(best.prompt, best.tokens, best.messages, dropped, max(full.tokens - best.tokens, 0))


def too_long(tokens: int, num_ctx: int) -> PromptTooLong:
    return PromptTooLong(f"the prompt has {tokens} tokens and the context length (num_ctx) is {num_ctx}")


@dataclass(slots=True)
class _Search(Generic[Prompt]):
    messages: Sequence[Message]
    render: Callable[[Sequence[Message]], Prompt]
    count: Callable[[Prompt], int]

    def at(self, start: int) -> Fitted[Prompt]:
        kept = kept_from(self.messages, start)
        prompt = self.render(kept)
        return Fitted(prompt, self.count(prompt), kept)

    def first_fitting(self, num_ctx: int) -> Fitted[Prompt] | None:
        """The earliest start that fits, else the last message alone. None when there is only one message.

        `low` was seen not to fit and `high` to fit whenever they move, so that what is returned has been counted
        itself, whether or not the counts fall strictly.
        """
        low, high = 0, len(self.messages) - 1
        if high <= 0:
            return None
        high, best = self._shortest(high)
        if best.tokens > num_ctx:
            return best
        while high - low > 1:
            middle = (low + high) // 2
            start, tried = self._renderable(middle, high)
            if tried is None:
                low = start
            elif tried.tokens <= num_ctx:
                # What lies between middle and start was refused by the template, so it is no candidate.
                best, high = tried, middle
            else:
                low = start
        return best

    def _shortest(self, last: int) -> tuple[int, Fitted[Prompt]]:
        for start in range(last, max(last - _MAX_WALK, 0), -1):
            if tried := self._tried(start):
                return start, tried
        return last, self.at(last)

    def _renderable(self, start: int, end: int) -> tuple[int, Fitted[Prompt] | None]:
        reach = min(start + _MAX_WALK, end)
        for place in range(start, reach):
            if tried := self._tried(place):
                return place, tried
        return reach - 1, None

    def _tried(self, start: int) -> Fitted[Prompt] | None:
        try:
            return self.at(start)
        except TemplateError:
            return None


def kept_from(messages: Sequence[Message], start: int) -> tuple[Message, ...]:
    """All system messages found before `start`, and everything from there."""
    return (*(m for m in messages[:start] if m.role == "system"), *messages[start:])


def cut_tokens(tokens: Sequence[int], num_ctx: int, num_keep: int, has_bos: bool) -> tuple[list[int], int]:
    """Cut the middle of a prompt that leaves no room to answer: its first `num_keep` tokens and its tail stay.

    Half of the room after the kept tokens is freed for the answer, as the context shift does later.
    `has_bos` tells that the prompt begins with a BOS token, which is kept besides. Returns the tokens and how many
    are gone.
    """
    if len(tokens) <= num_ctx - 1:
        return list(tokens), 0
    keep = max(0, min(num_keep + has_bos, num_ctx - 1))
    total = max(num_ctx - max((num_ctx - keep) // 2, 1), 1)
    tail = total - keep
    kept = [*tokens[:keep], *tokens[len(tokens) - tail :]]
    return kept, len(tokens) - len(kept)
