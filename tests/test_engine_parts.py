"""The engine's pure parts: detokenizing, choosing a slot, sampler chains, thread counts, memory arithmetic."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.engine.detokenize import TextStream
from ollama_jupyter.engine.events import EngineParams
from ollama_jupyter.engine.memory import available_bytes, estimate, kv_bytes
from ollama_jupyter.engine.prefix import MIN_COPY, choose_slot, common_prefix
from ollama_jupyter.engine.sampling import SamplerStep, sampler_steps
from ollama_jupyter.engine.sequence import Slot
from ollama_jupyter.engine.threads import INTERVAL, ThreadCount
from ollama_jupyter.errors import InvalidOption
from ollama_jupyter.gguf import read_header
from ollama_jupyter.messages import OPTIONS, Options, check_options


def stream(pieces: list[bytes], *stop: str) -> tuple[str, bool]:
    text = TextStream(stop)
    shown = "".join([text.decode(piece) for piece in pieces]) + text.flush()
    return shown, text.stopped


# ---- text ---------------------------------------------------------------------------------------------------------


@given(st.text(), st.lists(st.integers(0, 400)))
def test_any_cut_of_the_bytes_gives_the_text_back(text: str, cuts: list[int]) -> None:
    data = text.encode()
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    assert stream([data[a:b] for a, b in itertools.pairwise(edges)]) == (text, False)


@given(st.text("ab<|>é", max_size=30), st.lists(st.text("ab<|>é", min_size=1, max_size=4), max_size=3))
def test_stop_strings_cut_at_the_first_one_wherever_tokens_break(text: str, stops: list[str]) -> None:
    found = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    whole = stream([text.encode()], *stops)
    single = stream([bytes([b]) for b in text.encode()], *stops)
    assert whole == ((text[: min(found)], True) if found else (text, False))
    if len(stops) <= 1:
        assert single == whole
    assert single[1] == whole[1]


def test_only_a_possible_beginning_is_held_back() -> None:
    text = TextStream(("<|end|>",))
    assert text.decode(b"Hello <") == "Hello "
    assert text.decode(b"b>") == "<b>"
    assert text.decode(b"<|en") == ""
    assert text.flush() == "<|en"


def test_broken_bytes_become_replacement_characters_and_an_unfinished_one_is_dropped() -> None:
    assert stream([b"a\xff", b"b"]) == ("a�b", False)
    assert stream([b"a", "é".encode()[:1]]) == ("a", False)


# ---- slots --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_common_prefix(a: list[int], b: list[int]) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def slots(*contents: list[int]) -> list[Slot]:
    return [Slot(i, list(tokens), used=i) for i, tokens in enumerate(contents)]


def test_the_slot_with_the_longest_beginning_wins_else_the_least_used() -> None:
    held = slots([1, 2, 3], [1, 2, 9], [7])
    assert choose_slot(held, [1, 2, 3, 4], may_copy=True) == (held[0], None, 3)
    assert choose_slot(held, [5, 5], may_copy=True) == (held[0], None, 0)


def test_a_conversation_is_not_thrown_away_for_a_short_shared_beginning() -> None:
    system = list(range(MIN_COPY))
    held = slots([*system, *range(100, 200)], [])
    held[0].used = 5
    slot, donor, shared = choose_slot(held, [*system, 7, 8], may_copy=True)
    assert (slot.id, donor, shared) == (1, held[0], MIN_COPY)
    assert choose_slot(held, [*system, 7, 8], may_copy=False) == (held[0], None, MIN_COPY)


# ---- options and samplers -----------------------------------------------------------------------------------------


def test_options_and_their_table_name_the_same_fields() -> None:
    defaults = Options()
    assert {name: getattr(defaults, name) for name in OPTIONS} == {name: spec.default for name, spec in OPTIONS.items()}
    assert check_options({"bogus": 1, "top_k": None}) == {}


def names(options: Options) -> list[str]:
    return [step.name for step in sampler_steps(options, 4096)]


def test_the_chain_holds_only_what_acts() -> None:
    assert names(Options(temperature=0)) == names(Options(temperature=1e-40)) == ["greedy"]
    assert names(Options()) == ["top_k", "top_p", "temp", "dist"]
    every = Options(typical_p=0.9, min_p=0.1, repeat_penalty=1.1)
    assert names(every) == ["penalties", "top_k", "typical", "top_p", "min_p", "temp", "dist"]
    assert names(Options(temperature=0, presence_penalty=1)) == ["penalties", "greedy"]
    assert names(Options(top_k=0, top_p=1)) == ["temp", "dist"]


def test_seeds_are_kept_and_negative_ones_drawn() -> None:
    assert sampler_steps(Options(seed=42), 4096)[-1] == SamplerStep("dist", (42,))
    assert sampler_steps(Options(seed=2**40 + 7), 4096)[-1].args == ((2**40 + 7) % (2**32 - 1),)
    drawn = {sampler_steps(Options(seed=-1), 4096)[-1].args for _ in range(8)}
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("seed", "choice", "drawn_with"), [(2**32 - 1, 0, 0), (2**32 - 2, 1, 0), (2**32 - 2, 0, 2**32 - 2)]
)
def test_no_seed_is_the_one_that_llama_cpp_takes_for_none(seed: int, choice: int, drawn_with: int) -> None:
    """0xFFFFFFFF asks it for a random one (LLAMA_DEFAULT_SEED)."""
    assert sampler_steps(Options(seed=seed), 4096, choice=choice)[-1].args == (drawn_with,)


def test_penalties_look_back_over_the_window_at_most() -> None:
    assert sampler_steps(Options(repeat_penalty=1.1, repeat_last_n=-1), 512)[0].args[0] == 512
    assert sampler_steps(Options(repeat_penalty=1.1, repeat_last_n=10**9), 512)[0].args[0] == 512


# ---- memory -------------------------------------------------------------------------------------------------------


def params(**changes: Any) -> EngineParams:
    return replace(EngineParams("", num_ctx=4096, num_parallel=4), **changes)


def test_the_kv_cache_of_smollm2_is_what_llama_cpp_allocates(smollm2: Path) -> None:
    """30 layers, 3 KV heads of 64, keys and values, two bytes each."""
    header = read_header(smollm2)
    assert kv_bytes(header, params()) == 30 * 3 * (64 + 64) * 4096 * 4 * 2
    assert kv_bytes(header, params(kv_cache_type="q8_0")) / kv_bytes(header, params()) == 34 / 64


def test_every_wish_costs_memory(smollm2: Path) -> None:
    header = read_header(smollm2)
    base = estimate(header, params())
    assert base > header.file_size
    for wish in ({"num_ctx": 8192}, {"num_parallel": 8}, {"num_batch": 4096}, {"flash_attention": False}):
        assert estimate(header, params(**wish)) > base
    assert available_bytes() > 0


# ---- threads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("others", "threads"), [(0.0, 2), (0.2, 2), (0.5, 1), (1.0, 1), (2.0, 1)])
def test_threads_follow_the_cores_that_others_leave(others: float, threads: int) -> None:
    now = [0.0]
    load = [0.0, 0.0]
    count = ThreadCount(cores=2, clock=lambda: now[0], load=lambda: (load[0], load[1]))
    assert count.now() == 2
    now[0] += 1
    load[:] = [2.0 + others, 2.0]  # we used two core-seconds, others so many
    assert (count.now() or 2) == threads
    now[0] += INTERVAL / 10
    assert count.now() is None  # not looked at again so soon


def test_a_fixed_number_of_threads_is_told_once() -> None:
    count = ThreadCount(fixed=3, cores=8)
    assert [count.now(), count.now()] == [3, None]


@pytest.mark.parametrize("stop", [["x"] * 65, ["x" * 1025]])
def test_stop_strings_are_bounded(stop: list[str]) -> None:
    with pytest.raises(InvalidOption, match="64 strings of 1024"):
        check_options({"stop": stop})
