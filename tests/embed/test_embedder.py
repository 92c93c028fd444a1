"""Packing of inputs into batches, over an encoder that only notes what it is given."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.engine.embed import Embedder
from ollama_jupyter.engine.events import Cancel, Embed, Embedded, Event, Failed
from ollama_jupyter.errors import EngineError


class FakeEncoder:
    """The vector of an input is its first token and its length. Call `failing` by number to raise."""

    def __init__(self, n_batch: int = 16, n_seq_max: int = 4, n_pack: int = 16) -> None:
        self.n_batch, self.n_seq_max, self.n_pack = n_batch, n_seq_max, n_pack
        self.batches: list[list[tuple[int, ...]]] = []
        self.failing: set[int] = set()
        self.aborted: set[int] = set()

    def encode(self, inputs: Sequence[Sequence[int]]) -> list[array[float]]:
        assert 0 < len(inputs) <= self.n_seq_max
        assert sum(map(len, inputs)) <= self.n_batch
        self.batches.append([tuple(tokens) for tokens in inputs])
        if len(self.batches) - 1 in self.failing:
            raise EngineError("it broke")
        if len(self.batches) - 1 in self.aborted:
            return []
        return [array("f", [tokens[0], len(tokens)]) for tokens in inputs]


def run(embedder: Embedder) -> list[Event]:
    events: list[Event] = []
    while embedder.has_work:
        events += embedder.step()
    return events


@given(st.lists(st.lists(st.integers(1, 16), min_size=1, max_size=9), min_size=1, max_size=5))
def test_every_input_gets_its_vector_in_order(lengths: list[list[int]]) -> None:
    embedder = Embedder(FakeEncoder())
    requests = [
        Embed(number, tuple((100 * number + index,) * length for index, length in enumerate(each)))
        for number, each in enumerate(lengths)
    ]
    embedder.take(requests)
    done = {event.id: event.vectors for event in run(embedder) if isinstance(event, Embedded)}
    for request in requests:
        assert [tuple(vector) for vector in done[request.id]] == [(t[0], len(t)) for t in request.inputs]


def test_requests_share_a_batch() -> None:
    encoder = FakeEncoder()
    embedder = Embedder(encoder)
    embedder.take([Embed(1, ((1, 1),)), Embed(2, ((2,), (3,)))])
    run(embedder)
    assert encoder.batches == [[(1, 1), (2,), (3,)]]


def test_a_long_input_has_a_run_of_its_own() -> None:
    encoder = FakeEncoder(n_pack=4)
    embedder = Embedder(encoder)
    embedder.take([Embed(1, ((1, 1), (2,) * 16, (3,), (4, 4, 4), (5,)))])
    run(embedder)
    assert encoder.batches == [[(1, 1)], [(2,) * 16], [(3,), (4, 4, 4)], [(5,)]]


def test_a_small_request_does_not_wait_for_all_of_a_large_one() -> None:
    encoder = FakeEncoder()
    embedder = Embedder(encoder)
    embedder.take([Embed(1, ((1,),) * 40)])
    embedder.step()
    embedder.take([Embed(2, ((2,),))])
    events = [event for _ in range(2) for event in embedder.step()]
    assert [event.id for event in events if isinstance(event, Embedded)] == [2]
    assert [event.id for event in run(embedder) if isinstance(event, Embedded)] == [1]


def test_a_failure_ends_the_requests_of_its_batch_and_no_others() -> None:
    encoder = FakeEncoder(n_seq_max=2)
    encoder.failing = {0}
    embedder = Embedder(encoder)
    embedder.take([Embed(1, ((1,),)), Embed(2, ((2,),)), Embed(3, ((3,),))])
    events = run(embedder)
    assert events[:2] == [Failed(1, "it broke"), Failed(2, "it broke")]
    assert isinstance(events[2], Embedded)


def test_what_was_aborted_is_run_again() -> None:
    encoder = FakeEncoder()
    encoder.aborted = {0}
    embedder = Embedder(encoder)
    embedder.take([Embed(1, ((1,),))])
    assert [type(event) for event in run(embedder)] == [Embedded]
    assert len(encoder.batches) == 2


def test_cancel_and_stop_end_requests_once() -> None:
    embedder = Embedder(FakeEncoder())
    embedder.take([Embed(1, ((1,),)), Embed(2, ((2,),)), Cancel(1), Cancel(7)])
    assert embedder.fail_all("stopped", canceled=True) == [
        Failed(1, "request canceled", canceled=True),
        Failed(2, "stopped", canceled=True),
    ]
    assert not embedder.has_work


def test_inputs_that_fit_no_batch_are_refused() -> None:
    embedder = Embedder(FakeEncoder())
    embedder.take([Embed(1, ((1,) * 17,)), Embed(2, ((),)), Embed(3, ())])
    assert [event.id for event in run(embedder) if isinstance(event, Failed)] == [1, 2, 3]
