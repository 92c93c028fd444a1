"""Sampling on the real model: seeds, several answers, log probabilities, biases, grammars."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from llama_cpp import llama_cpp as C

from ollama_jupyter.engine.backend import Outcome
from ollama_jupyter.engine.constrain import compile_grammar
from ollama_jupyter.engine.events import EngineParams, Finished, Text
from ollama_jupyter.engine.handle import EngineHandle
from ollama_jupyter.engine.llama import LlamaBackend
from ollama_jupyter.engine.sampling import SamplerStep
from ollama_jupyter.errors import EngineError
from ollama_jupyter.messages import Options, TokenLogprob

PROMPTS = [f"<|im_start|>user\nName {i + 2} fruits and say why.<|im_end|>\n<|im_start|>assistant\n" for i in range(4)]
GREEDY = Options(temperature=0, num_predict=8)


@pytest.fixture
async def engine(smollm2: Path) -> AsyncIterator[EngineHandle]:
    handle = await EngineHandle.load(EngineParams(str(smollm2), num_ctx=512, num_parallel=4))
    yield handle
    await handle.stop("the test is over")


async def ask(
    engine: EngineHandle, prompt: str, options: Options = GREEDY, *, num_ctx: int = 512, **extras: Any
) -> tuple[dict[int, str], dict[int, Finished], list[TokenLogprob]]:
    """Texts and ends by choice, and all log probabilities."""
    texts: dict[int, str] = {}
    ends: dict[int, Finished] = {}
    measured: list[TokenLogprob] = []
    async for event in engine.stream(
        tuple(engine.vocab.tokenize(prompt, add_special=False)), options, num_ctx, True, **extras
    ):
        if isinstance(event, Text):
            texts[event.choice] = texts.get(event.choice, "") + event.text
            measured += event.logprobs
        else:
            ends[event.choice] = event
    return texts, ends, measured


async def test_a_seed_gives_the_same_text_alone_in_a_batch_and_after_a_cached_beginning(engine: EngineHandle) -> None:
    """Logits differ by their last bits between a batch and one row, which moves a draw only where it is on the edge.

    So two of three runs agree to the end, and all in their first tokens.
    """
    options = [Options(seed=40 + i, temperature=0.8, num_predict=12) for i in range(len(PROMPTS))]
    asked = list(zip(PROMPTS, options, strict=True))
    alone = [(await ask(engine, prompt, each))[1][0].tokens for prompt, each in asked]
    cached = [(await ask(engine, prompt, each))[1][0].tokens for prompt, each in asked]
    together = [ends[0].tokens for _, ends, _ in await asyncio.gather(*(ask(engine, p, o) for p, o in asked))]
    assert [tokens[:3] for tokens in alone] == [tokens[:3] for tokens in cached] == [tokens[:3] for tokens in together]
    same = sum(a == b for other in (cached, together) for a, b in zip(alone, other, strict=True))
    assert same >= 2 / 3 * 2 * len(alone)


async def test_several_answers_differ_and_can_be_had_again(engine: EngineHandle) -> None:
    options = Options(seed=3, temperature=1.0, num_predict=8)
    texts, ends, _ = await ask(engine, PROMPTS[0], options, n=6)
    assert sorted(ends) == list(range(6))
    assert len(set(texts.values())) > 1
    again, _, _ = await ask(engine, PROMPTS[0], options, n=6)
    assert sum(texts[choice] == again[choice] for choice in range(6)) >= 4
    single, _, _ = await ask(engine, PROMPTS[0], Options(seed=5, temperature=1.0, num_predict=8))
    assert single[0][:8] == texts[2][:8], "choice 2 of seed 3 is what seed 5 gives"


async def test_the_largest_seed_of_32_bits_is_one_too(engine: EngineHandle) -> None:
    options = Options(seed=2**32 - 1, temperature=2.0, top_k=0, top_p=1.0, num_predict=3)
    drawn = [(await ask(engine, PROMPTS[0], options))[1][0].tokens for _ in range(4)]
    assert drawn[1] == drawn[2] == drawn[3], "all behind the first come after the same cached beginning"


async def test_log_probabilities_are_those_of_a_softmax(engine: EngineHandle) -> None:
    texts, ends, measured = await ask(engine, PROMPTS[0], logprobs=5)
    assert "".join(item.token for item in measured) == texts[0]
    assert len(measured) == len(ends[0].tokens)
    for item in measured:
        assert item.logprob <= 0
        assert [other.logprob for other in item.top] == sorted((o.logprob for o in item.top), reverse=True)
        assert item.top[0].token == item.token, "greedy text is the likeliest"
        assert sum(math.exp(other.logprob) for other in item.top) <= 1 + 1e-6
    everything = (await ask(engine, PROMPTS[0], GREEDY.with_(num_predict=1), logprobs=engine.vocab.size))[2][0]
    assert sum(math.exp(other.logprob) for other in everything.top) == pytest.approx(1, abs=1e-6)


async def test_log_probabilities_do_not_depend_on_how_a_token_is_drawn(engine: EngineHandle) -> None:
    plain = (await ask(engine, PROMPTS[0], GREEDY.with_(num_predict=1), logprobs=0))[2][0]
    held = compile_grammar("%llguidance {}\nstart: /[0-9]+/\n", engine.vocab)
    bent = GREEDY.with_(num_predict=1, repeat_penalty=1.5)
    top = (await ask(engine, PROMPTS[0], bent, logprobs=1, constraint=held))[2][0].top[0]
    assert (top.token, top.logprob) == (plain.token, pytest.approx(plain.logprob, abs=0.05))


async def test_a_bias_bans_and_forces(engine: EngineHandle) -> None:
    first = (await ask(engine, PROMPTS[0]))[1][0].tokens[0]
    banned = (await ask(engine, PROMPTS[0], logit_bias={first: -100.0}))[1][0].tokens
    assert first not in banned
    [token] = engine.vocab.tokenize(" sea", add_special=False)
    forced = (await ask(engine, PROMPTS[0], logit_bias={token: 100.0}))[1][0].tokens
    assert set(forced) == {token}


async def test_a_bias_on_no_token_fails_that_request_only(engine: EngineHandle) -> None:
    with pytest.raises(EngineError, match="not in the vocabulary"):
        await ask(engine, PROMPTS[0], logit_bias={engine.vocab.size: 1.0})
    assert (await ask(engine, PROMPTS[0]))[0][0]


def test_a_chain_that_is_refused_is_freed(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LlamaBackend(EngineParams(str(smollm2), num_ctx=64, num_parallel=1))
    freed: list[Any] = []
    free = C.llama_sampler_free

    def noted(chain: Any) -> None:
        freed.append(chain)
        free(chain)

    monkeypatch.setattr(C, "llama_sampler_free", noted)
    with pytest.raises(EngineError, match="not in the vocabulary"):
        backend.sampler([SamplerStep("top_k", (5,)), SamplerStep("logit_bias", (backend.vocab.size, 1.0))], ())
    assert len(freed) == 1
    backend.close()


@pytest.mark.parametrize("decodes", [0, 1, 4])
async def test_a_failing_decode_ends_all_answers_under_a_grammar_and_the_next_request_works(
    engine: EngineHandle, monkeypatch: pytest.MonkeyPatch, decodes: int
) -> None:
    decode, left = LlamaBackend.decode, [decodes]

    def decode_or_fail(backend: LlamaBackend, spans: Any) -> Outcome:
        left[0] -= 1
        if left[0] == -1:
            raise EngineError("the device is gone")
        return decode(backend, spans)

    monkeypatch.setattr(LlamaBackend, "decode", decode_or_fail)
    held = compile_grammar("%llguidance {}\nstart: /[a-z]{400}/\n", engine.vocab)
    with pytest.raises(EngineError, match="the device is gone"):
        await ask(engine, PROMPTS[0], n=3, constraint=held, logprobs=2)
    texts, ends, _ = await ask(engine, PROMPTS[0], n=2, constraint=held)
    assert [ends[choice].choice for choice in sorted(ends)] == [0, 1]
    assert all(text.isalpha() and text.islower() for text in texts.values())


@pytest.mark.parametrize("temperature", [0.0, 2.0])
async def test_a_grammar_holds_whatever_is_drawn(engine: EngineHandle, temperature: float) -> None:
    held = compile_grammar('%llguidance {}\nstart: "The answer is " /[0-9]{1,3}/ "."\n', engine.vocab)
    options = Options(temperature=temperature, typical_p=0.5, min_p=0.1, repeat_penalty=1.2, seed=1)
    texts, ends, _ = await ask(engine, PROMPTS[0], options, n=4, constraint=held)
    for choice in range(4):
        assert texts[choice].startswith("The answer is ")
        assert texts[choice].removeprefix("The answer is ").removesuffix(".").isdecimal()
        assert ends[choice].reason == "stop"


@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_a_grammar_holds_over_a_window_that_shifts(engine: EngineHandle, temperature: float) -> None:
    held = compile_grammar("%llguidance {}\nstart: /([a-z]{1,9} ){400}/\n", engine.vocab)
    options = Options(temperature=temperature, seed=1, num_predict=100)
    texts, ends, _ = await ask(engine, PROMPTS[0], options, num_ctx=64, n=2, constraint=held)
    for choice in range(2):
        assert len(ends[choice].tokens) == 100
        assert re.fullmatch("([a-z]{1,9} )*[a-z]{0,9}", texts[choice])


async def test_control_tokens_come_out_where_they_are_asked_for(engine: EngineHandle) -> None:
    [token] = engine.vocab.tokenize("<|im_start|>", add_special=False)
    options = GREEDY.with_(num_predict=2)
    texts, _, measured = await ask(engine, PROMPTS[0], options, logit_bias={token: 100.0}, logprobs=0)
    assert (texts.get(0, ""), [item.token for item in measured]) == ("", ["<|im_start|>"] * 2)
    texts, _, _ = await ask(engine, PROMPTS[0], options, logit_bias={token: 100.0}, spelled=frozenset({token}))
    assert texts[0] == "<|im_start|><|im_start|>"


async def test_a_grammar_that_outgrows_its_limits_is_the_requests_fault(engine: EngineHandle) -> None:
    from ollama_jupyter.errors import BadRequest

    schema = {"type": "string", "pattern": "(.{1,1000}){1,1000}"}
    text = f"%llguidance {{}}\nstart: %json {json.dumps(schema)}\n"
    with pytest.raises(BadRequest, match="too complex"):
        await ask(engine, PROMPTS[0], constraint=compile_grammar(text, engine.vocab))
    assert (await ask(engine, PROMPTS[0]))[0][0]
