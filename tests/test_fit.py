"""What is dropped from a prompt that is too long, and what never is."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.errors import PromptTooLong, TemplateError
from ollama_jupyter.messages import Message
from ollama_jupyter.prompt.fit import cut_tokens, fit


def render(messages: Sequence[Message]) -> str:
    return " ".join(f"{m.role[0]}:{m.content}" for m in messages)


def count(text: str) -> int:
    return len(text.split())


def chat(text: str) -> list[Message]:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [Message(roles[word[0]], word) for word in text.split()]


@pytest.mark.parametrize(
    ("messages", "num_ctx", "kept", "dropped"),
    [
        ("s u1 a1 u2", 4, "s u1 a1 u2", 0),
        ("s u1 a1 u2", 3, "s a1 u2", 1),
        ("s u1 a1 u2", 2, "s u2", 2),
        ("s u1 a1 u2", 1, "s u2", 2),
        ("u1 a1 u2", 1, "u2", 2),
        ("u1 s1 a1 s2 u2", 4, "s1 a1 s2 u2", 1),
        ("u1 s1 a1 s2 u2", 3, "s1 s2 u2", 2),
        ("s1 s2 s3", 1, "s1 s2 s3", 0),
        ("u1", 0, "u1", 0),
    ],
)
def test_earliest_messages_go_first(messages: str, num_ctx: int, kept: str, dropped: int) -> None:
    fitted = fit(chat(messages), render=render, count=count, num_ctx=num_ctx)
    assert fitted.messages == tuple(chat(kept))
    assert fitted.prompt == render(chat(kept))
    assert (fitted.tokens, fitted.dropped_messages) == (len(kept.split()), dropped)
    assert fitted.dropped_tokens == len(messages.split()) - len(kept.split())


def test_without_truncation_both_numbers_are_told() -> None:
    with pytest.raises(PromptTooLong, match=r"\b3\b.*\b2\b"):
        fit(chat("u a u"), render=render, count=count, num_ctx=2, truncate=False)
    assert fit(chat("u a u"), render=render, count=count, num_ctx=3, truncate=False).tokens == 3


messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text("ab ", max_size=30)),
    min_size=1,
    max_size=30,
)


@given(messages, st.integers(0, 100))
def test_what_fits_is_the_longest_that_fits(conversation: list[Message], num_ctx: int) -> None:
    renders = 0

    def counted(kept: Sequence[Message]) -> str:
        nonlocal renders
        renders += 1
        return render(kept)

    fitted = fit(conversation, render=counted, count=count, num_ctx=num_ctx)
    assert fitted.messages[-1] is conversation[-1]
    assert [m for m in fitted.messages if m.role == "system"] == [m for m in conversation if m.role == "system"]
    assert renders <= 3 + len(conversation).bit_length()
    # Ollama's own way, one start after another.
    tries = (
        [*(m for m in conversation[:i] if m.role == "system"), *conversation[i:]] for i in range(len(conversation))
    )
    first = next((kept for kept in tries if count(render(kept)) <= num_ctx), None)
    if first is not None:
        assert fitted.prompt == render(first)
        assert fitted.tokens <= num_ctx
    assert fitted.dropped_messages == len(conversation) - len(fitted.messages)


def alternating(messages: Sequence[Message]) -> str:
    dialogue = [m for m in messages if m.role != "system"]
    if any((m.role == "user") != (i % 2 == 0) for i, m in enumerate(dialogue)):
        raise TemplateError("Conversation roles must alternate")
    return render(messages)


@pytest.mark.parametrize(
    ("num_ctx", "kept"), [(7, "s u1 a1 u2 a2 u3"), (5, "s u2 a2 u3"), (4, "s u2 a2 u3"), (3, "s u3"), (2, "s u3")]
)
def test_a_template_that_refuses_some_cuts(num_ctx: int, kept: str) -> None:
    fitted = fit(chat("s u1 a1 u2 a2 u3"), render=alternating, count=count, num_ctx=num_ctx)
    assert fitted.messages == tuple(chat(kept))


def test_a_trailing_answer_keeps_its_question_where_the_template_needs_it() -> None:
    fitted = fit(chat("u1 a1 u2 a2"), render=alternating, count=count, num_ctx=2)
    assert fitted.messages == tuple(chat("u2 a2"))


def test_a_template_that_refuses_everything() -> None:
    with pytest.raises(TemplateError, match="alternate"):
        fit(chat("a u"), render=alternating, count=count, num_ctx=1)


# ---- tokens


@pytest.mark.parametrize(
    ("length", "num_ctx", "num_keep", "has_bos", "left"),
    [
        (1000, 512, 4, False, 258),
        (1000, 512, 4, True, 259),
        (512, 512, 4, False, 258),
        (511, 512, 4, False, 511),
        (10, 4, 0, False, 2),
        (10, 4, 100, False, 3),
        (10, 1, 0, False, 1),
        (0, 4, 4, False, 0),
    ],
)
def test_cut_length_is_ollamas(length: int, num_ctx: int, num_keep: int, has_bos: bool, left: int) -> None:
    tokens, dropped = cut_tokens(range(length), num_ctx, num_keep, has_bos)
    assert (len(tokens), dropped) == (left, length - left)


@given(st.integers(0, 300), st.integers(1, 100), st.integers(0, 120), st.booleans())
def test_beginning_and_end_stay(length: int, num_ctx: int, num_keep: int, has_bos: bool) -> None:
    tokens, dropped = cut_tokens(range(length), num_ctx, num_keep, has_bos)
    assert len(tokens) + dropped == length
    assert len(tokens) <= max(num_ctx - 1, 1)
    assert tokens == sorted(set(tokens))
    if dropped:
        keep = min(num_keep + has_bos, num_ctx - 1)
        assert tokens[:keep] == list(range(keep))
        assert tokens[keep:] == list(range(length - len(tokens) + keep, length))
