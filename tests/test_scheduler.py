"""The scheduler on a fake backend: what is decoded together, what is reused, and that every request ends once."""

from __future__ import annotations

import random

import pytest
from fake_backend import END, FakeBackend, predict
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_jupyter.engine.backend import Outcome
from ollama_jupyter.engine.events import Event, Failed, Finished, Submit, Text
from ollama_jupyter.engine.plan import MIN_CHUNK, STEP_SECONDS
from ollama_jupyter.engine.scheduler import Scheduler
from ollama_jupyter.messages import Options


def request(
    number: int, tokens: list[int], *, predict: int = 5, num_ctx: int = 1000, shift: bool = True, **options
) -> Submit:
    return Submit(number, tuple(tokens), Options(num_predict=predict, **options), num_ctx, shift)


def run(scheduler: Scheduler, steps: int = 10_000) -> list[Event]:
    events: list[Event] = []
    while scheduler.has_work and steps:
        events += scheduler.step()
        steps -= 1
    return events


def ends(events: list[Event]) -> dict[int, Finished | Failed]:
    found: dict[int, Finished | Failed] = {}
    for event in events:
        if isinstance(event, Finished | Failed):
            assert event.id not in found, "a request ended twice"
            found[event.id] = event
    return found


def expected(prompt: list[int], count: int) -> tuple[int, ...]:
    """What the fake model says to a prompt, computed without any cache."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(predict(tokens))
    return tuple(tokens[len(prompt) :])


def test_one_request_gets_the_models_answer() -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(request(1, [5, 6, 7]))
    events = run(scheduler)
    end = ends(events)[1]
    assert isinstance(end, Finished)
    assert end.tokens == expected([5, 6, 7], 5)
    assert (end.reason, end.prompt_tokens, end.cached_tokens) == ("length", 3, 0)
    assert "".join(e.text for e in events if isinstance(e, Text)) == "".join(f"<{t}>" for t in end.tokens)


def test_an_end_token_stops_and_is_counted_but_not_shown() -> None:
    backend = FakeBackend()
    backend.ends_after = 2
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, [5], predict=-1))
    events = run(scheduler)
    end = ends(events)[1]
    assert isinstance(end, Finished)
    assert end.reason == "stop"
    assert len(end.tokens) == 3
    assert end.tokens[-1] == END
    assert f"<{END}>" not in "".join(e.text for e in events if isinstance(e, Text))


def test_num_predict_zero_reads_the_prompt_and_says_nothing() -> None:
    backend = FakeBackend()
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, [5, 6], predict=0))
    end = ends(run(scheduler))[1]
    assert isinstance(end, Finished)
    assert (end.reason, end.tokens) == ("length", ())
    assert backend.cells[0] == [5, 6]


def test_no_limit_means_ten_windows() -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(request(1, [5, 6], predict=-1, num_ctx=20))
    end = ends(run(scheduler))[1]
    assert isinstance(end, Finished)
    assert len(end.tokens) == 200


def test_running_sequences_are_decoded_in_one_batch() -> None:
    backend = FakeBackend(n_seq_max=4)
    scheduler = Scheduler(backend)
    for i in range(4):
        scheduler.submit(request(i, [10 + i] * 3, predict=4))
    found = ends(run(scheduler))
    assert [found[i].tokens for i in range(4)] == [expected([10 + i] * 3, 4) for i in range(4)]
    assert len(backend.batches) == 4  # the prompts together, then three times four rows
    assert all(len(batch) == 4 for batch in backend.batches)


def test_more_requests_than_slots_wait_in_order() -> None:
    scheduler = Scheduler(FakeBackend(n_seq_max=2))
    for i in range(5):
        scheduler.submit(request(i, [i + 1], predict=2))
    scheduler.step()
    assert scheduler.num_waiting == 3
    assert list(ends(run(scheduler))) == [0, 1, 2, 3, 4]


def test_a_long_prompt_does_not_stop_the_others_tokens() -> None:
    backend = FakeBackend(n_batch=64)
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, [1, 2], predict=100))
    scheduler.step()
    scheduler.submit(request(2, [3] * 500, predict=1))
    before = len(backend.batches)
    while 2 not in ends(scheduler.step()):
        pass
    beside = backend.batches[before:]
    assert len(beside) >= 500 // 64
    assert all(any(span.seq == 0 and len(span.tokens) == 1 for span in batch) for batch in beside)


def test_the_chunk_beside_others_follows_the_machines_speed() -> None:
    now = [0.0]

    class Slow(FakeBackend):
        def decode(self, spans):
            now[0] += 0.01 * sum(len(span.tokens) for span in spans)  # a machine of 100 tokens/s
            return super().decode(spans)

    backend = Slow(n_batch=512)
    scheduler = Scheduler(backend, clock=lambda: now[0])
    scheduler.submit(request(1, [1], predict=200))
    scheduler.step()
    scheduler.submit(request(2, [2] * 400, predict=1))
    for _ in range(6):
        scheduler.step()
    chunk = max(len(span.tokens) for span in backend.batches[-1])
    assert chunk == MIN_CHUNK  # 0.1 s would hold 10 tokens, fewer than the least
    assert STEP_SECONDS == 0.1


def test_several_prompts_share_the_room_so_a_short_one_is_not_stuck() -> None:
    scheduler = Scheduler(FakeBackend(n_batch=64))
    scheduler.submit(request(1, [1] * 600, predict=1))
    scheduler.submit(request(2, [2] * 10, predict=1))
    assert 2 in ends(scheduler.step())


def test_a_continued_conversation_prefills_only_the_rest() -> None:
    backend = FakeBackend()
    scheduler = Scheduler(backend)
    prompt = list(range(1, 40))
    scheduler.submit(request(1, prompt, predict=5))
    answer = ends(run(scheduler))[1].tokens
    follow_up = [*prompt, *answer[:-1], 50, 51]
    backend.batches.clear()
    scheduler.submit(request(2, follow_up, predict=3))
    end = ends(run(scheduler))[2]
    assert isinstance(end, Finished)
    assert end.cached_tokens == len(prompt) + 4
    assert sum(len(s.tokens) for s in backend.batches[0]) == 2
    assert end.tokens == expected(follow_up, 3)


def test_a_prompt_that_is_cached_whole_decodes_its_last_token_again() -> None:
    backend = FakeBackend(n_seq_max=1)
    scheduler = Scheduler(backend)
    for i in (1, 2):
        scheduler.submit(request(i, [4, 5, 6], predict=3))
    found = ends(run(scheduler))
    assert found[2].cached_tokens == 2
    assert found[1].tokens == found[2].tokens


def test_a_shared_beginning_is_copied_from_a_busy_sequence() -> None:
    backend = FakeBackend()
    scheduler = Scheduler(backend)
    system = list(range(1, 33))
    scheduler.submit(request(1, [*system, 60], predict=10))
    scheduler.step()
    scheduler.submit(request(2, [*system, 61], predict=10))
    found = ends(run(scheduler))
    assert found[2].cached_tokens == 32
    assert [found[i].tokens for i in (1, 2)] == [expected([*system, 60], 10), expected([*system, 61], 10)]


@pytest.mark.parametrize("can_shift", [True, False])
@pytest.mark.parametrize("can_copy", [True, False])
def test_a_full_window_shifts_and_goes_on(can_shift: bool, can_copy: bool) -> None:
    backend = FakeBackend(can_shift=can_shift, can_copy=can_copy)
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, list(range(1, 15)), predict=60, num_ctx=16, num_keep=2))
    end = ends(run(scheduler))[1]
    assert isinstance(end, Finished)
    assert (end.reason, len(end.tokens)) == ("length", 60)
    assert len(backend.cells[0]) <= 16
    assert backend.cells[0][:2] == [1, 2]


def test_a_full_window_without_shift_ends_for_length() -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(request(1, list(range(1, 15)), predict=60, num_ctx=16, shift=False))
    end = ends(run(scheduler))[1]
    assert isinstance(end, Finished)
    assert end.reason == "length"
    assert len(end.tokens) == 16 - 14 + 1


def test_shared_cells_are_never_moved() -> None:
    backend = FakeBackend()
    scheduler = Scheduler(backend)
    system = list(range(1, 33))
    for i in (1, 2):
        scheduler.submit(request(i, [*system, 60 + i], predict=80, num_ctx=48, num_keep=4))
        scheduler.step()
    backend.can_shift = True
    moved: list[int] = []
    backend.move = lambda seq, start, end, delta: moved.append(seq)  # type: ignore[method-assign]
    run(scheduler)
    assert moved == []


@pytest.mark.parametrize("when", ["waiting", "prefilling", "decoding"])
def test_cancel_ends_a_request_once_in_every_state(when: str) -> None:
    backend = FakeBackend(n_seq_max=1, n_batch=16)
    scheduler = Scheduler(backend)
    if when == "waiting":
        scheduler.submit(request(9, [1], predict=3))
    scheduler.submit(request(1, [2] * 100, predict=50))
    events: list[Event] = []
    for _ in range({"waiting": 1, "prefilling": 2, "decoding": 9}[when]):
        events += scheduler.step()
    scheduler.cancel(1)
    events += run(scheduler)
    end = ends(events)[1]
    assert isinstance(end, Failed)
    assert end.canceled
    assert backend.samplers == 0
    scheduler.submit(request(2, [2] * 100, predict=2))
    assert ends(run(scheduler))[2].tokens == expected([2] * 100, 2)


def test_cancel_of_a_stranger_is_ignored() -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.cancel(77)
    assert not scheduler.has_work


def test_an_aborted_decode_changes_nothing() -> None:
    backend = FakeBackend()
    backend.script = {0: Outcome.ABORTED, 2: Outcome.ABORTED}
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, [5, 6, 7]))
    assert ends(run(scheduler))[1].tokens == expected([5, 6, 7], 5)


def test_an_aborted_recurrent_state_is_read_anew() -> None:
    backend = FakeBackend(can_copy=False)
    backend.script = {2: Outcome.ABORTED}
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, [5, 6, 7]))
    assert ends(run(scheduler))[1].tokens == expected([5, 6, 7], 5)
    assert len(backend.batches[3][0].tokens) == 5  # the prompt and what was said so far


def test_an_engine_error_ends_the_batch_with_its_text_and_the_next_request_works() -> None:
    backend = FakeBackend()
    backend.script = {1: "the device is gone"}
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, [5, 6, 7]))
    scheduler.submit(request(2, [8, 9]))
    found = ends(run(scheduler))
    assert {type(found[i]) for i in (1, 2)} == {Failed}
    assert found[1].message == "the device is gone"
    scheduler.submit(request(3, [5, 6, 7]))
    assert ends(run(scheduler))[3].tokens == expected([5, 6, 7], 5)


def test_no_room_drops_idle_caches_first_then_the_youngest_request() -> None:
    backend = FakeBackend(n_seq_max=2)
    scheduler = Scheduler(backend)
    scheduler.submit(request(1, [1] * 5, predict=1))
    run(scheduler)
    backend.script = {len(backend.batches): Outcome.NO_ROOM}
    scheduler.submit(request(2, [2] * 5, predict=1))
    assert isinstance(ends(run(scheduler))[2], Finished)
    backend.script = {len(backend.batches) + i: Outcome.NO_ROOM for i in range(3)}
    scheduler.submit(request(3, [3] * 5, predict=1))
    assert ends(run(scheduler))[3].message == "the KV cache is full"


@pytest.mark.parametrize("tokens", [[], [1] * 17])
def test_a_prompt_that_cannot_run_is_refused(tokens: list[int]) -> None:
    scheduler = Scheduler(FakeBackend())
    scheduler.submit(request(1, tokens, num_ctx=16))
    end = ends(run(scheduler))[1]
    assert isinstance(end, Failed)
    assert "window holds 16" in end.message


def test_fail_all_tells_everyone() -> None:
    scheduler = Scheduler(FakeBackend(n_seq_max=1))
    for i in range(3):
        scheduler.submit(request(i, [1], predict=50))
    scheduler.step()
    found = ends(scheduler.fail_all("the server is shutting down", canceled=True))
    assert {e.message for e in found.values()} == {"the server is shutting down"}
    assert set(found) == {0, 1, 2}
    assert not scheduler.has_work


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_any_mix_of_requests_answers_as_if_each_were_alone(seed: int) -> None:
    """Random arrivals, shared beginnings and cancels: every request ends exactly once, with its own answer."""
    rng = random.Random(seed)
    backend = FakeBackend(n_batch=rng.choice([4, 16, 64]), n_seq_max=rng.choice([1, 2, 4]))
    scheduler = Scheduler(backend)
    stems = [[rng.randrange(1, 90) for _ in range(rng.randrange(1, 60))] for _ in range(3)]
    prompts: dict[int, tuple[list[int], int]] = {}
    canceled: set[int] = set()
    events: list[Event] = []
    for i in range(12):
        prompt = rng.choice(stems)[: rng.randrange(1, 60)] + [rng.randrange(1, 90) for _ in range(rng.randrange(8))]
        prompts[i] = (prompt, rng.randrange(0, 9))
        scheduler.submit(request(i, prompt, predict=prompts[i][1]))
        for _ in range(rng.randrange(4)):
            events += scheduler.step()
        if rng.random() < 0.2:
            canceled.add(victim := rng.randrange(i + 1))
            scheduler.cancel(victim)
    events += run(scheduler)
    found = ends(events)
    assert set(found) == set(prompts)
    assert backend.samplers == 0
    for i, end in found.items():
        if isinstance(end, Failed):
            assert i in canceled
        else:
            assert end.tokens == expected(*prompts[i])
