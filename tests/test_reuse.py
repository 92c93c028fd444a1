"""What a slot still holds is used again only where the answer stays what a cold start would give.

Random dialogues (turns, forks, regenerated answers, cancels) on tiny models of each kind of memory. Their random
weights make near ties, so an answer may part from the cold one where the two tokens' logits are close.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from models import write_tiny_gguf
from other_models import write_tiny_gemma3, write_tiny_mamba

from ollama_jupyter.engine.backend import Outcome, Span
from ollama_jupyter.engine.events import EngineParams, Failed, Finished, Submit
from ollama_jupyter.engine.llama import C, LlamaBackend
from ollama_jupyter.engine.scheduler import Scheduler
from ollama_jupyter.messages import Options

WINDOW = 512
KINDS: dict[str, Callable[[Path], Path]] = {
    "llama": write_tiny_gguf,
    "gemma3": write_tiny_gemma3,
    "mamba": write_tiny_mamba,
}


class Dialogue:
    """One scheduler on one backend, and a way to ask it."""

    def __init__(self, path: Path, num_parallel: int) -> None:
        params = EngineParams(str(path), num_ctx=WINDOW, num_parallel=num_parallel, num_batch=64, threads=1)
        self.backend = LlamaBackend(params)
        self.scheduler = Scheduler(self.backend)
        self._ids = iter(range(10**6))

    def submit(self, tokens: list[int], count: int, num_ctx: int = WINDOW) -> int:
        number = next(self._ids)
        options = Options(temperature=0, num_predict=count, num_keep=4)
        self.scheduler.submit(Submit(number, tuple(tokens), options, num_ctx))
        return number

    def ask(self, tokens: list[int], count: int, num_ctx: int = WINDOW) -> Finished:
        number = self.submit(tokens, count, num_ctx)
        while True:
            for event in self.scheduler.step():
                assert not (isinstance(event, Failed) and event.id == number), event
                if isinstance(event, Finished) and event.id == number:
                    return event

    def forget(self) -> None:
        for slot in self.scheduler._slots:
            self.scheduler._slots.cut(slot, 0)

    def gap(self, tokens: list[int], a: int, b: int) -> float:
        """How far apart a cold run holds the logits of two next tokens."""
        self.forget()
        for start in range(0, len(tokens), 64):
            part = tokens[start : start + 64]
            last = start + len(part) == len(tokens)
            assert self.backend.decode([Span(0, start, part, logits=last)]) is Outcome.OK
        logits = C.llama_get_logits_ith(self.backend._context, len(part) - 1)
        self.backend.remove(0, 0)
        return abs(logits[a] - logits[b])


@pytest.fixture(params=sorted(KINDS))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return KINDS[request.param](tmp_path / "model.gguf")


@pytest.fixture
def warm(model: Path) -> Iterator[Dialogue]:
    made = Dialogue(model, num_parallel=4)
    yield made
    made.backend.close()


@pytest.fixture
def cold(model: Path) -> Iterator[Dialogue]:
    made = Dialogue(model, num_parallel=1)
    yield made
    made.backend.close()


def parted(cold: Dialogue, prompt: list[int], a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """0 for equal answers, else how sure the model is where they part."""
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    return 0.0 if at is None else cold.gap([*prompt, *a[:at]], a[at], b[at])


def test_reuse_never_changes_an_answer(warm: Dialogue, cold: Dialogue) -> None:
    rng = random.Random(5)
    stem = [1, *(rng.randrange(3, 300) for _ in range(40))]
    dialogues = [list(stem) for _ in range(3)]
    reused, gaps = 0, []
    for _ in range(60):
        which = rng.randrange(3)
        prompt = list(dialogues[which])
        match rng.choice(["turn", "again", "fork", "anew"]):
            case "turn":
                prompt += [rng.randrange(3, 300) for _ in range(rng.randrange(1, 30))]
            case "again":
                prompt = prompt[: rng.randrange(len(stem), len(prompt) + 1)]
            case "fork":
                prompt = dialogues[rng.randrange(3)][: rng.randrange(20, 200)]
            case "anew":
                prompt = stem + [rng.randrange(3, 300) for _ in range(10)]
        if len(prompt) > WINDOW - 60:
            prompt = list(stem)
        if rng.random() < 0.2:
            number = warm.submit(prompt + [7] * 50, 5)
            for _ in range(rng.randrange(4)):
                warm.scheduler.step()
            warm.scheduler.cancel(number)
        count = rng.choice([5, 20, 40])
        answer = warm.ask(prompt, count)
        cold.forget()
        gaps.append(parted(cold, prompt, answer.tokens, cold.ask(prompt, count).tokens))
        reused += answer.cached_tokens > 0
        dialogues[which] = prompt + list(answer.tokens)
    assert reused >= 10
    assert max(gaps) < 0.1, gaps


def test_nothing_that_saw_lost_tokens_is_used_again(warm: Dialogue, cold: Dialogue) -> None:
    """After a context shift the rest of the cache has attended to tokens that are gone."""
    # A random model may end at once: take the first prompt whose answer outgrows the window.
    asked = (warm.ask(list(range(first, first + 50)), 60, num_ctx=64) for first in range(10, 250, 10))
    shifted = next(answer for answer in asked if len(answer.tokens) == 60)
    left = list(max(warm.scheduler._slots, key=lambda slot: slot.used).tokens)
    follow_up = [*left, *shifted.tokens[-3:], 20]
    answer = warm.ask(follow_up, 10)
    cold.forget()
    assert parted(cold, follow_up, answer.tokens, cold.ask(follow_up, 10).tokens) < 0.1
    moved = warm.backend.can_shift and warm.backend.can_copy
    assert not moved or len(left) <= 4
