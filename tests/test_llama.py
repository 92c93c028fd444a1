"""The binding and the engine's thread on the real llama.cpp and the real SmolLM2.

Every row of the crash table in DESIGN section 6 that a caller of the binding could cause is tried here; each such test
ends with a decode that works, which shows the process alive and the context sound.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from models import write_tiny_gguf

from ollama_jupyter.engine.backend import Outcome, Span
from ollama_jupyter.engine.events import EngineParams, Finished, Text
from ollama_jupyter.engine.handle import EngineHandle
from ollama_jupyter.engine.llama import AbortFlag, C, LlamaBackend
from ollama_jupyter.engine.probe import Prober
from ollama_jupyter.engine.sampling import sampler_steps
from ollama_jupyter.engine.vocab import MAX_TEXT_BYTES
from ollama_jupyter.errors import BadRequest, Canceled, EngineError, ModelLoadError, NotFound
from ollama_jupyter.messages import Options

CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
GREEDY = Options(temperature=0, num_predict=24)


@pytest.fixture(scope="module")
def backend(smollm2: Path) -> Iterator[LlamaBackend]:
    made = LlamaBackend(EngineParams(str(smollm2), num_ctx=256, num_parallel=2, num_batch=64, threads=1))
    yield made
    made.close()


@pytest.fixture
def alive(backend: LlamaBackend) -> Iterator[LlamaBackend]:
    """The backend, which must still work after the test."""
    yield backend
    backend.remove(0, 0)
    assert backend.decode([Span(0, 0, [1, 2, 3], logits=True)]) is Outcome.OK
    sampler = backend.sampler(sampler_steps(Options(temperature=0), 256), ())
    assert 0 <= backend.sample(sampler, 0) < backend.vocab.size
    backend.free_sampler(sampler)
    backend.remove(0, 0)


# ---- what would end the process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [[], [1] * 65, [-1], [49152], [2**31 - 1]], ids=str)
def test_a_batch_that_c_would_abort_on_is_refused(alive: LlamaBackend, tokens: list[int]) -> None:
    with pytest.raises(EngineError):
        alive.decode([Span(0, 0, tokens, logits=True)])


@pytest.mark.parametrize("seq", [-1, 2, 10**6])
def test_an_unknown_sequence_is_refused(alive: LlamaBackend, seq: int) -> None:
    with pytest.raises(EngineError, match="does not exist"):
        alive.decode([Span(seq, 0, [1], logits=True)])


def test_sampling_without_logits_is_refused(alive: LlamaBackend) -> None:
    sampler = alive.sampler(sampler_steps(Options(), 256), ())
    assert alive.decode([Span(0, 0, [1, 2], logits=False)]) is Outcome.OK
    for index in (0, 1, -1):
        with pytest.raises(EngineError, match="no logits"):
            alive.sample(sampler, index)
    alive.free_sampler(sampler)


def test_a_gap_in_the_positions_is_an_error(alive: LlamaBackend) -> None:
    assert alive.decode([Span(0, 0, [1, 2], logits=True)]) is Outcome.OK
    with pytest.raises(EngineError):
        alive.decode([Span(0, 100, [1], logits=True)])


def test_a_full_cache_is_said(smollm2: Path) -> None:
    small = LlamaBackend(EngineParams(str(smollm2), num_ctx=256, num_parallel=1, num_batch=256, threads=1))
    assert small.decode([Span(0, 0, [1] * 256, logits=False)]) is Outcome.OK
    assert small.decode([Span(0, 256, [1], logits=True)]) is Outcome.NO_ROOM
    small.close()
    small.close()  # harmless


@pytest.mark.parametrize(
    ("num_ctx", "num_parallel", "cache"),
    [(1, 4, ""), (0, 1, ""), (-5, 1, ""), (256, 0, ""), (2**31 - 1, 1, ""), (2**30, 4, ""), (256, 1, "q1_0")],
)
def test_a_context_that_c_would_abort_on_is_refused(smollm2: Path, num_ctx: int, num_parallel: int, cache: str) -> None:
    with pytest.raises(ModelLoadError):
        LlamaBackend(EngineParams(str(smollm2), num_ctx=num_ctx, num_parallel=num_parallel, kv_cache_type=cache))


def test_the_batch_never_exceeds_what_the_context_took(smollm2: Path) -> None:
    """llama.cpp cuts n_batch to the context, silently; decoding more than that would abort."""
    small = LlamaBackend(EngineParams(str(smollm2), num_ctx=64, num_parallel=1, num_batch=2048, threads=1))
    assert small.n_batch == C.llama_n_batch(small._context) < 2048
    assert small.decode([Span(0, 0, [1] * 64, logits=True)]) is Outcome.OK
    small.close()


@pytest.mark.parametrize("num_batch", [1, 2, 3, 7])
def test_a_batch_smaller_than_the_number_of_sequences_is_made_larger(smollm2: Path, num_batch: int) -> None:
    small = LlamaBackend(EngineParams(str(smollm2), num_ctx=64, num_parallel=8, num_batch=num_batch, threads=1))
    assert small.decode([Span(seq, 0, [1], logits=True) for seq in range(8)]) is Outcome.OK
    small.close()


def test_a_flood_of_special_tokens_is_cut_into_pieces(alive: LlamaBackend) -> None:
    """llama.cpp's own time for this is quadratic: minutes. The tokens must be those of the whole."""
    flood = "<|im_start|>x\n" * 100_000
    tokens = alive.vocab.tokenize(flood, add_special=False)
    assert tokens == alive.vocab.tokenize("<|im_start|>x\n", add_special=False) * 100_000
    mixed = "".join(f"<|im_start|>user\nQuestion {i}?<|im_end|>\n" for i in range(1500))
    assert len(mixed) > 32 * 2**10
    assert alive.vocab.tokenize(mixed, add_special=False) == alive.vocab._tokenize(mixed, False, True)
    with pytest.raises(BadRequest, match="too long to tokenize"):
        alive.vocab.tokenize(flood, add_special=False, deadline=0)


def test_a_text_that_takes_minutes_to_tokenize_is_refused_at_once(alive: LlamaBackend) -> None:
    with pytest.raises(BadRequest, match="bytes long"):
        alive.vocab.tokenize("a" * (20 << 20), add_special=True)
    assert len(alive.vocab.tokenize("a" * 1000, add_special=True)) > 0
    assert MAX_TEXT_BYTES < 20 << 20


def test_no_llama_cpp_grammar_is_reachable() -> None:
    """Grammars abort the process when a forbidden token is accepted, and overflow its stack when nested."""
    package = Path(__file__).parents[1] / "ollama_jupyter"
    assert not [path for path in package.rglob("*.py") if "init_grammar" in path.read_text()]


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 64, b"not a model" * 100])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError):
        LlamaBackend(EngineParams(str(path), num_ctx=64, num_parallel=1))


# ---- vocabulary ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Hello, world", "naïve 日本語 🙂", "<|im_start|>user\nhi<|im_end|>\n", " \n\t "])
def test_text_survives_tokenizing(backend: LlamaBackend, text: str) -> None:
    tokens = backend.vocab.tokenize(text, add_special=False)
    assert backend.vocab.text(tokens) == text


def test_control_tokens_are_text_only_where_asked(backend: LlamaBackend) -> None:
    (start,) = backend.vocab.tokenize("<|im_start|>", add_special=False)
    assert backend.vocab.piece(start) == b""
    assert backend.vocab.piece(start, special=True) == b"<|im_start|>"
    assert len(backend.vocab.tokenize("<|im_start|>", add_special=False, parse_special=False)) > 1


@pytest.mark.parametrize("token", [-1, 49152, 2**40])
def test_a_token_outside_the_vocabulary_is_named(backend: LlamaBackend, token: int) -> None:
    with pytest.raises(BadRequest, match=str(token)):
        backend.vocab.text([token])


# ---- the engine ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def engine(smollm2: Path) -> AsyncIterator[EngineHandle]:
    handle = await EngineHandle.load(EngineParams(str(smollm2), num_ctx=2048, num_parallel=8))
    yield handle
    await handle.stop("the test is over")


async def ask(engine: EngineHandle, text: str, options: Options = GREEDY, num_ctx: int = 2048) -> tuple[str, Finished]:
    tokens = tuple(engine.vocab.tokenize(text, add_special=False))
    said, end = [], None
    async for event in engine.stream(tokens, options, num_ctx, True):
        if isinstance(event, Text):
            said.append(event.text)
        else:
            end = event
    assert end is not None
    return "".join(said), end


async def test_the_model_answers(engine: EngineHandle) -> None:
    text, end = await ask(engine, CHAT.format("What is the capital of France?"))
    assert text.strip()
    assert end.reason in ("stop", "length")
    assert 0 < len(end.tokens) <= 24


async def test_a_batch_of_eight_has_no_cross_talk(engine: EngineHandle) -> None:
    """Greedy text alone and in a batch: equal, or parted at a token where the two best logits nearly tie.

    Kernels sum in another order for one row than for eight (docs/differences.md), so a tie may fall either way; a
    mistake in the cache would part them where the model is sure.
    """
    prompts = [CHAT.format(f"Name {i + 2} fruits and say why you like them.") for i in range(8)]
    alone = [(await ask(engine, prompt))[1].tokens for prompt in prompts]
    together = [end.tokens for _, end in await asyncio.gather(*(ask(engine, prompt) for prompt in prompts))]
    parted = [(p, a, b) for p, a, b in zip(prompts, alone, together, strict=True) if a != b]
    backend = LlamaBackend(EngineParams(engine.params.path, num_ctx=512, num_parallel=1, threads=1))
    gaps = [logit_gap(backend, prompt, a, b) for prompt, a, b in parted]
    backend.close()
    assert all(gap < 0.5 for gap in gaps), gaps


def logit_gap(backend: LlamaBackend, prompt: str, a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """How far apart the model holds the two tokens at which two answers part."""
    at = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    tokens = [*backend.vocab.tokenize(prompt, add_special=False), *a[:at]]
    backend.remove(0, 0)
    assert backend.decode([Span(0, 0, tokens, logits=True)]) is Outcome.OK
    logits = C.llama_get_logits_ith(backend._context, len(tokens) - 1)
    return abs(logits[a[at]] - logits[b[at]])


async def test_the_same_seed_gives_the_same_text(engine: EngineHandle) -> None:
    options = Options(seed=7, temperature=1.0, num_predict=16)
    prompt = CHAT.format("Tell me something.")
    first, second = [(await ask(engine, prompt, options))[1].tokens for _ in range(2)]
    other = (await ask(engine, prompt, Options(seed=8, temperature=1.0, num_predict=16)))[1].tokens
    assert first[:4] == second[:4]
    assert other != first


async def test_a_cached_beginning_is_not_read_again(engine: EngineHandle) -> None:
    prompt = CHAT.format("Say one word about the sea.")
    _, first = await ask(engine, prompt)
    _, second = await ask(engine, prompt)
    assert first.cached_tokens == 0
    assert second.cached_tokens == second.prompt_tokens - 1
    assert first.tokens == second.tokens


async def test_a_stop_string_is_cut_out(engine: EngineHandle) -> None:
    text, _ = await ask(engine, CHAT.format("Count from one to ten."), Options(temperature=0, num_predict=40))
    word = text.split()[3]
    cut, end = await ask(engine, CHAT.format("Count from one to ten."), Options(temperature=0, stop=(word,)))
    assert cut == text[: text.index(word)]
    assert end.reason == "stop"


async def test_generation_goes_on_past_the_window(engine: EngineHandle) -> None:
    _, end = await ask(engine, CHAT.format("Hello"), Options(temperature=1, seed=1, num_predict=150), num_ctx=64)
    assert end.reason == "stop" or len(end.tokens) == 150


async def test_an_abort_ends_a_prefill_early(engine: EngineHandle) -> None:
    """Canceled while alone: back long before the prefill would have ended, and the slot is usable at once."""
    words = "one two three four five six seven eight nine ten " * 150
    started = time.perf_counter()
    await ask(engine, "A" + words, Options(num_predict=1))
    whole = time.perf_counter() - started
    tokens = tuple(engine.vocab.tokenize("B" + words, add_special=False))
    stream = engine.stream(tokens, Options(num_predict=1), 2048, True)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.wait([waiting], timeout=whole / 10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    started = time.perf_counter()
    await ask(engine, CHAT.format("Hi"), Options(num_predict=1))
    assert time.perf_counter() - started < whole / 2


async def test_stopping_tells_running_requests(smollm2: Path) -> None:
    engine = await EngineHandle.load(EngineParams(str(smollm2), num_ctx=512, num_parallel=1))
    tokens = tuple(engine.vocab.tokenize("Once upon a time", add_special=False))
    running = [engine.stream(tokens, Options(num_predict=-1), 512, True) for _ in range(3)]
    assert isinstance(await anext(running[0]), Text)
    waiting = [asyncio.ensure_future(anext(stream)) for stream in running[1:]]
    await asyncio.sleep(0)
    await engine.stop("the server is shutting down")
    with pytest.raises(Canceled, match="shutting down"):
        async for _ in running[0]:
            pass
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, Canceled) for result in results)
    with pytest.raises(EngineError, match="not loaded"):
        engine.vocab.tokenize("x", add_special=False)


async def test_a_failed_load_is_raised(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"GGUF")
    with pytest.raises(ModelLoadError):
        await EngineHandle.load(EngineParams(str(tmp_path / "broken"), num_ctx=64, num_parallel=1))


async def test_threads_may_only_ask_the_engines_thread(engine: EngineHandle) -> None:
    """Many callers at once: the context is touched by one thread only, or llama.cpp would abort."""
    answers = await asyncio.gather(*(ask(engine, f"Number {i} is", Options(num_predict=3)) for i in range(32)))
    assert len(answers) == 32


def test_the_abort_flag_is_read_as_a_truth_value() -> None:
    flag = AbortFlag()
    assert not flag.callback(flag.data)
    flag.set()
    assert flag.callback(flag.data)
    flag.clear()
    assert not flag.callback(flag.data)


# ---- the probe ----------------------------------------------------------------------------------------------------


async def test_the_probe_passes_a_good_model_and_remembers(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Prober(tmp_path, 60).check("a" * 64, smollm2)
    (verdict,) = tmp_path.glob("*.json")
    assert json.loads(verdict.read_text())["reason"] == ""
    monkeypatch.setattr(sys, "executable", "/nowhere")
    await Prober(tmp_path, 60).check("a" * 64, smollm2)  # known: no child is asked


async def test_a_verdict_is_on_the_file_that_was_there(tmp_path: Path) -> None:
    """A bad file that is repaired, or pulled again, is not refused for what it was."""
    path = tmp_path / "model"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ModelLoadError):
        await Prober(tmp_path / "verdicts", 60).check("f" * 64, path)
    write_tiny_gguf(path)
    await Prober(tmp_path / "verdicts", 60).check("f" * 64, path)


@pytest.mark.parametrize("gone", ["0", "1", "adapter"])
async def test_a_file_that_vanishes_meanwhile_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    paths = {name: tmp_path / name for name in ("0", "1", "adapter")}
    for path in paths.values():
        path.write_bytes(b"GGUF")

    async def run(*_: object) -> str:
        paths[gone].unlink()
        paths[gone].write_bytes(b"GGUF again")
        return "llama.cpp cannot load this model"

    monkeypatch.setattr(Prober, "_run", run)
    shards = (str(paths["0"]), str(paths["1"]))
    with pytest.raises(NotFound, match="deleted while"):
        await Prober(tmp_path / "verdicts", 60).check("9" * 64, paths["0"], (str(paths["adapter"]),), shards)
    assert list(tmp_path.glob("verdicts/*")) == []


async def test_the_probe_refuses_a_bad_model_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"GGUF" + b"\0" * 100)
    for _ in range(2):
        with pytest.raises(ModelLoadError, match=r"llama\.cpp cannot load"):
            await Prober(tmp_path / "verdicts", 60).check("b" * 64, tmp_path / "bad")


async def test_what_lies_in_the_working_folder_is_no_verdict(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("numpy", "json", "random"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    await Prober(tmp_path / "verdicts", 60).check("d" * 64, smollm2)
    (verdict,) = (tmp_path / "verdicts").glob("*.json")
    assert json.loads(verdict.read_text())["reason"] == ""


async def test_a_child_that_is_ended_from_outside_is_no_verdict(
    tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineError, match="SIGTERM") as ended:
        await Prober(tmp_path / "verdicts", 60).check("e" * 64, smollm2)
    assert not isinstance(ended.value, ModelLoadError)
    monkeypatch.delenv("PYTHONPATH")
    await Prober(tmp_path / "verdicts", 60).check("e" * 64, smollm2)


async def test_a_child_that_dies_is_a_verdict(tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp's abort in the child: here the child is made to abort, since known bad files are refused before."""
    (tmp_path / "sitecustomize.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelLoadError, match="SIGABRT"):
        await Prober(tmp_path / "verdicts", 60).check("c" * 64, smollm2)
