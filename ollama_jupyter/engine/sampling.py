"""From options to a sampler chain, as plain values: what `llama.py` then builds in C."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ollama_jupyter.messages import Options

LEAST_TEMPERATURE = 1e-5
"""Below it, logits divided by the temperature overflow."""

SEEDS = 2**32 - 1
"""Seeds that llama.cpp takes: the largest number of 32 bits asks it for a random one (LLAMA_DEFAULT_SEED)."""


@dataclass(frozen=True, slots=True)
class SamplerStep:
    """One sampler of a chain: its llama.cpp name and the arguments of its constructor."""

    name: str
    args: tuple[float | int, ...] = ()


def sampler_steps(
    options: Options, num_ctx: int, logit_bias: Mapping[int, float] | None = None, choice: int = 0
) -> tuple[SamplerStep, ...]:
    """The chain in llama.cpp's default order: bias, penalties, top-k, typical-p, top-p, min-p, temperature, draw.

    Temperature 0, and what a float cannot tell from it, is greedy: the filters could not change the outcome. A negative
    seed draws a random one; a later choice of several answers has the seed plus its number.
    """
    last_n = num_ctx if options.repeat_last_n < 0 else min(options.repeat_last_n, num_ctx)
    steps = []
    if logit_bias:
        steps.append(SamplerStep("logit_bias", tuple(itertools.chain.from_iterable(logit_bias.items()))))
    if last_n and has_penalties(options):
        penalties = (last_n, options.repeat_penalty, options.frequency_penalty, options.presence_penalty)
        steps.append(SamplerStep("penalties", penalties))
    if options.temperature < LEAST_TEMPERATURE:
        return (*steps, SamplerStep("greedy"))
    if options.top_k:
        steps.append(SamplerStep("top_k", (options.top_k,)))
    if options.typical_p < 1:
        steps.append(SamplerStep("typical", (options.typical_p, 1)))
    if options.top_p < 1:
        steps.append(SamplerStep("top_p", (options.top_p, 1)))
    if options.min_p > 0:
        steps.append(SamplerStep("min_p", (options.min_p, 1)))
    seed = secrets.randbelow(SEEDS) if options.seed < 0 else (options.seed + choice) % SEEDS
    return (*steps, SamplerStep("temp", (options.temperature,)), SamplerStep("dist", (seed,)))


def history_length(steps: Iterable[SamplerStep]) -> int:
    """How many of the last tokens the penalties of a chain look at."""
    return next((int(step.args[0]) for step in steps if step.name == "penalties"), 0)


def has_penalties(options: Options) -> bool:
    return options.repeat_penalty != 1 or options.frequency_penalty != 0 or options.presence_penalty != 0
