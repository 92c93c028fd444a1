"""Several answers of one prompt, log probabilities, biases, grammars and spelled tokens, on a fake backend."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from fake_backend import CONTROL, VOCAB, FakeBackend, predict
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scheduler import request, run

from ollama_jupyter.engine.backend import Outcome
from ollama_jupyter.engine.events import Event, Failed, Finished, Submit, Text
from ollama_jupyter.engine.scheduler import CLOSING, Scheduler
from ollama_jupyter.errors import EngineError
from ollama_jupyter.messages import TokenLogprob

PROMPT = list(range(1, 41))


def said(events: Sequence[Event], number: int = 1, choice: int = 0) -> str:
    return "".join(e.text for e in events if isinstance(e, Text) and (e.id, e.choice) == (number, choice))


def finished(events: Sequence[Event], number: int = 1) -> dict[int, Finished]:
    """The ends of a request's answers, by choice; each ended once."""
    found = [event for event in events if isinstance(event, Finished) and event.id == number]
    assert len({end.choice for end in found}) == len(found)
    return {end.choice: end for end in found}


class Fixed:
    """A grammar that allows exactly these tokens one after another; some of them are forced."""

    def __init__(self, tokens: Sequence[int], forced: frozenset[int] = frozenset(), fails_at: int = -1) -> None:
        self.tokens, self._forced, self.fails_at = list(tokens), forced, fails_at
        self.at = 0
        self.closing: list[bool] = []
        self.sampled: list[int] = []

    def matcher(self) -> Fixed:
        return self

    @property
    def is_over(self) -> bool:
        return self.at == len(self.tokens)

    def mask(self, *, closing: bool = False) -> bytes:
        if self.at == self.fails_at:
            raise EngineError("the grammar broke")
        self.closing.append(closing)
        return (1 << self.tokens[self.at]).to_bytes(math.ceil(VOCAB / 32) * 4, "little")

    def accept(self, token: int) -> None:
        assert token == self.tokens[self.at]
        self.sampled.append(token)
        self.at += 1

    def forced(self) -> list[int]:
        start = self.at
        while self.at < len(self.tokens) and self.tokens[self.at] in self._forced:
            self.at += 1
        return self.tokens[start : self.at]


# ---- several answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_answers_of_one_prompt_each_end_once(slots: int, n: int) -> None:
    backend = FakeBackend(n_seq_max=slots)
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, PROMPT), n=n))
    events = run(scheduler)
    assert sorted(finished(events)) == list(range(n))
    assert len({said(events, choice=choice) for choice in range(n)}) == 1, "the fake model always says the same"
    assert backend.samplers == 0


def test_the_prompt_is_read_once() -> None:
    backend = FakeBackend()
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, PROMPT), n=4))
    events = run(scheduler)
    decoded = sum(len(span.tokens) for batch in backend.batches for span in batch)
    # The prompt, its last token again for each further answer, and what was sampled and read back.
    assert decoded == len(PROMPT) + 3 + 4 * 4
    assert [finished(events)[choice].cached_tokens for choice in range(4)] == [0] + [len(PROMPT) - 1] * 3


def test_without_a_cache_that_copies_all_answers_come_all_the_same() -> None:
    scheduler = Scheduler(FakeBackend(can_copy=False))
    scheduler.submit(replace(request(1, PROMPT), n=3))
    assert sorted(finished(run(scheduler))) == [0, 1, 2]


def test_a_request_for_many_answers_lets_others_in_between() -> None:
    scheduler = Scheduler(FakeBackend(n_seq_max=2))
    scheduler.submit(replace(request(1, PROMPT), n=40))
    scheduler.step()
    scheduler.submit(request(2, [50, 51]))
    order = [event.id for event in run(scheduler) if isinstance(event, Finished)]
    assert order.index(2) <= 4


@given(st.integers(1, 6), st.integers(0, 12))
def test_cancel_ends_all_answers_with_one_event(n: int, steps: int) -> None:
    backend = FakeBackend(n_seq_max=3)
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, PROMPT, predict=8), n=n))
    events = [event for _ in range(steps) for event in scheduler.step()]
    scheduler.cancel(1)
    events += run(scheduler)
    failed = [event for event in events if isinstance(event, Failed)]
    assert len(finished(events)) == n or len(failed) == 1
    assert not scheduler.has_work
    assert backend.samplers == 0


def test_a_failure_of_one_answer_ends_the_request_and_no_other() -> None:
    backend = FakeBackend()
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, PROMPT), n=3, constraint=Fixed([5, 6, 7, 8], fails_at=2)))
    scheduler.submit(request(2, [50, 51]))
    events = run(scheduler)
    assert [(e.id, e.message) for e in events if isinstance(e, Failed)] == [(1, "the grammar broke")]
    assert list(finished(events, 2)) == [0]
    assert backend.samplers == 0


@pytest.mark.parametrize("where", ["matcher", "mask", "accept", "forced"])
def test_a_grammar_that_breaks_down_ends_its_request_only(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError

    grammar, backend = Fixed([5, 6, 7, 8]), FakeBackend()
    monkeypatch.setattr(grammar, where, break_down)
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, PROMPT), n=3, constraint=grammar))
    scheduler.submit(request(2, [50, 51]))
    events = run(scheduler)
    assert [e for e in events if isinstance(e, Failed)] == [Failed(1, "the engine failed: RuntimeError")]
    assert len(finished(events, 2)[0].tokens) == 5
    assert backend.samplers == 0


def test_a_decode_that_fails_in_the_middle_is_told_once() -> None:
    backend = FakeBackend()
    backend.script = {4: "the device is gone"}
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, PROMPT), n=3))
    events = run(scheduler)
    assert [e for e in events if isinstance(e, Failed)] == [Failed(1, "the device is gone")]
    assert not finished(events)


def test_only_one_request_may_be_alone_with_all_its_answers() -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(replace(request(1, PROMPT, predict=20), n=3))
    for _ in range(4):
        scheduler.step()
    assert scheduler.only_request == 1
    scheduler.submit(request(2, [50]))
    scheduler.step()
    assert scheduler.only_request is None


# ---- log probabilities ------------------------------------------------------------------------------------------


def items(events: Sequence[Event]) -> list[TokenLogprob]:
    return [item for event in events if isinstance(event, Text) for item in event.logprobs]


def test_every_token_has_its_log_probability_and_the_likeliest() -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(replace(request(1, [5, 6]), logprobs=3))
    events = run(scheduler)
    tokens = finished(events)[0].tokens
    assert [item.token for item in items(events)] == [f"<{token}>" for token in tokens]
    for item, token in zip(items(events), tokens, strict=True):
        assert item.logprob == pytest.approx(math.log(0.5))
        assert item.bytes == item.token.encode()
        assert [other.token for other in item.top] == [f"<{(token + i) % VOCAB}>" for i in range(3)]


def test_zero_alternatives_are_none_and_no_logprobs_are_none() -> None:
    for logprobs, count in ((0, 5), (None, 0)):
        scheduler = Scheduler(FakeBackend())
        scheduler.submit(replace(request(1, [5, 6]), logprobs=logprobs))
        found = items(run(scheduler))
        assert len(found) == count
        assert not any(item.top for item in found)


def test_tokens_of_a_stop_string_have_none() -> None:
    second = predict([5, predict([5])])
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(replace(request(1, [5], stop=(f"<{second}>",)), logprobs=0))
    events = run(scheduler)
    assert [item.token for item in items(events)] == [f"<{predict([5])}>"]
    end = finished(events)[0]
    assert (end.reason, end.stop_sequence) == ("stop", f"<{second}>")


def test_tokens_whose_text_was_held_back_keep_theirs() -> None:
    """A beginning of a stop string comes to nothing: its tokens come with the text that shows it."""
    first = predict([5])
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(replace(request(1, [5], stop=(f"<{first}>never",)), logprobs=0))
    events = run(scheduler)
    assert len(items(events)) == 5
    assert "".join(item.token for item in items(events)) == said(events)


# ---- grammars ---------------------------------------------------------------------------------------------------


def test_a_grammar_says_what_comes_and_ends_it() -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(replace(request(1, [5], predict=-1), constraint=Fixed([7, 8, 9])))
    events = run(scheduler)
    assert said(events) == "<7><8><9>"
    assert finished(events)[0].reason == "stop"


def test_forced_tokens_are_not_sampled_and_read_in_one_batch() -> None:
    backend, grammar = FakeBackend(), Fixed([7, 8, 9, 10, 11], forced=frozenset({8, 9, 10}))
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, [5], predict=-1), constraint=grammar))
    events = run(scheduler)
    assert said(events) == "<7><8><9><10><11>"
    assert grammar.sampled == [7, 11]
    assert [len(batch[0].tokens) for batch in backend.batches] == [1, 4]
    assert len(finished(events)[0].tokens) == 5


def test_with_logprobs_nothing_is_forced() -> None:
    grammar = Fixed([7, 8, 9], forced=frozenset({8}))
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(replace(request(1, [5], predict=-1), constraint=grammar, logprobs=0))
    events = run(scheduler)
    assert grammar.sampled == [7, 8, 9]
    assert len(items(events)) == 3


@pytest.mark.parametrize(("budget", "text"), [(1, "<7>"), (2, "<7><8>"), (3, "<7><8><9>")])
def test_forced_tokens_keep_to_the_budget(budget: int, text: str) -> None:
    scheduler = Scheduler(FakeBackend())
    grammar = Fixed([7, 8, 9, 10, 11], forced=frozenset({8, 9, 10}))
    scheduler.submit(replace(request(1, [5], predict=budget), constraint=grammar))
    events = run(scheduler)
    assert said(events) == text
    assert finished(events)[0].reason == "length"


def test_forced_tokens_keep_to_a_window_that_does_not_shift() -> None:
    scheduler = Scheduler(FakeBackend())
    grammar = Fixed([7, *range(10, 40)], forced=frozenset(range(10, 40)))
    scheduler.submit(replace(request(1, [5, 6], predict=-1, num_ctx=8, shift=False), constraint=grammar))
    end = finished(run(scheduler))[0]
    assert (end.reason, len(end.tokens)) == ("length", 7)


def test_forced_tokens_shift_a_full_window() -> None:
    scheduler = Scheduler(FakeBackend())
    grammar = Fixed([7, *range(10, 60), 61], forced=frozenset(range(10, 60)))
    scheduler.submit(replace(request(1, [5, 6], predict=-1, num_ctx=16), constraint=grammar))
    end = finished(run(scheduler))[0]
    assert (end.reason, len(end.tokens)) == ("stop", 52)


def test_a_stop_string_in_forced_tokens_stops() -> None:
    scheduler = Scheduler(FakeBackend())
    grammar = Fixed([7, 8, 9, 10], forced=frozenset({8, 9, 10}))
    scheduler.submit(replace(request(1, [5], predict=-1, stop=("<9>",)), constraint=grammar))
    events = run(scheduler)
    assert said(events) == "<7><8>"
    assert finished(events)[0].stop_sequence == "<9>"


def test_near_its_budgets_end_an_answer_is_led_to_a_close() -> None:
    grammar = Fixed([7] * 40)
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(replace(request(1, [5], predict=CLOSING + 2), constraint=grammar))
    run(scheduler)
    assert grammar.closing == [False, False] + [True] * CLOSING


def test_a_grammar_outlives_an_aborted_batch() -> None:
    backend = FakeBackend()
    backend.script = {1: Outcome.ABORTED}
    scheduler = Scheduler(backend)
    scheduler.submit(replace(request(1, [5], predict=-1), constraint=Fixed([7, 8])))
    assert said(run(scheduler)) == "<7><8>"


# ---- control tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spelled", "text"), [(frozenset(), "<7><8>"), ({CONTROL}, "<7><control><8>")])
def test_control_tokens_come_out_where_they_are_asked_for(spelled: frozenset[int], text: str) -> None:
    scheduler = Scheduler(FakeBackend())
    grammar = Fixed([7, CONTROL, 8])
    scheduler.submit(replace(request(1, [5], predict=-1), constraint=grammar, spelled=frozenset(spelled)))
    assert said(run(scheduler)) == text


# ---- all of it together -------------------------------------------------------------------------------------------


class Walk(Fixed):
    """A grammar of its own for each answer."""

    def matcher(self) -> Fixed:
        return Fixed(self.tokens, self._forced)


def asked(rng: random.Random, number: int) -> Submit:
    """A request of any kind. A grammar's tokens are its own, so what it must say is known."""
    prompt = PROMPT[: rng.randrange(1, 40)] + [rng.randrange(1, 90) for _ in range(rng.randrange(4))]
    held = [rng.randrange(1, VOCAB) for _ in range(rng.randrange(1, 12))]
    forced = frozenset(token for token in held[1:] if rng.random() < 0.5)
    return replace(
        request(number, prompt, predict=rng.randrange(0, 9), stop=rng.choice([(), ("<7", "1><2"), (">",)])),
        n=rng.randrange(1, 6),
        logprobs=rng.choice([None, 0, 2]),
        constraint=rng.choice([None, Walk(held, forced)]),
        spelled=rng.choice([frozenset(), frozenset({CONTROL})]),
    )


def alone(wanted: Submit) -> list[Event]:
    """What a request gets that has an engine to itself, with a slot for each answer."""
    scheduler = Scheduler(FakeBackend(n_seq_max=wanted.n))
    scheduler.submit(wanted)
    return run(scheduler)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_answers_of_any_kind_come_as_if_their_request_were_alone(seed: int) -> None:
    """Each answer ends once, with its own text and the log probabilities of all its tokens, none lost or twice."""
    rng = random.Random(seed)
    backend = FakeBackend(
        n_batch=rng.choice([8, 64]), n_seq_max=rng.choice([1, 2, 4]), can_copy=rng.choice([True, False])
    )
    scheduler = Scheduler(backend)
    requests = {number: asked(rng, number) for number in range(6)}
    canceled: set[int] = set()
    events: list[Event] = []
    for number, wanted in requests.items():
        scheduler.submit(wanted)
        events += [event for _ in range(rng.randrange(4)) for event in scheduler.step()]
        if rng.random() < 0.2:
            canceled.add(victim := rng.randrange(number + 1))
            scheduler.cancel(victim)
    events += run(scheduler)
    failed = [event.id for event in events if isinstance(event, Failed)]
    assert len(set(failed)) == len(failed)
    assert set(failed) <= canceled
    assert backend.samplers == 0
    for number in set(requests) - set(failed):
        expected = alone(requests[number])
        assert sorted(finished(events, number)) == list(range(requests[number].n))
        for choice, end in finished(events, number).items():
            other = finished(expected, number)[choice]
            assert (end.reason, end.tokens, end.stop_sequence) == (other.reason, other.tokens, other.stop_sequence)
            assert said(events, number, choice) == said(expected, number, choice)
            assert measured(events, number, choice) == measured(expected, number, choice)


def measured(events: Sequence[Event], number: int, choice: int) -> list[TokenLogprob]:
    return [
        item
        for event in events
        if isinstance(event, Text) and (event.id, event.choice) == (number, choice)
        for item in event.logprobs
    ]
