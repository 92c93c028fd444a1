"""`ollama-jupyter bench`: how fast models read, answer and load, in the formats of Ollama's own bench program."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ollama_jupyter.cli.commands import Call
from ollama_jupyter.client.connect import Server
from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.client.text import harmless, printable

if TYPE_CHECKING:
    import ollama

PROMPT = (
    "Tell, at some length, the story of a lighthouse keeper who learns to talk with the whales that pass his island: "
    "how he first hears them, what they teach him over the years, and what he decides when his lamp is to be replaced."
)
_WORDS = (
    "slow river under a stone bridge where old boats wait for morning and the wind carries salt from far hills "
    "over green fields past small houses with red roofs until evening brings lamps and quiet talk of better days"
)
_TOKENS_A_WORD = 1.3  # until the warm-up has told
_RETRIES = 3

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Metric:
    """A row: nanoseconds for `count` tokens, or for one of what has no tokens."""

    step: str
    nanoseconds: int
    count: int = 1

    @property
    def has_tokens(self) -> bool:
        return self.step in ("prefill", "generate")


def bench(call: Call) -> int:
    """Measure every model. Exit code 1 if one of them could not be measured."""
    flags = call.flags
    models = [name.strip() for name in flags["model"].split(",") if name.strip()]
    if flags["format"] not in _ROWS:
        raise OllamaError(f"unknown format '{flags['format']}'")
    if not models:
        raise OllamaError("no model specified to benchmark: -model NAME")
    with ExitStack() as stack:
        out = stack.enter_context(Path(flags["output"]).open("w")) if flags["output"] else sys.stdout
        bench = Bench(flags, lambda line: print(line, file=out, flush=True))
        bench.head()
        failed = [model for model in models if not bench.measure(model)]
    return int(bool(failed))


class Bench:
    def __init__(self, flags: dict[str, Any], say: Say) -> None:
        self._flags = flags
        self._say = say
        self._image = Path(flags["image"]).read_bytes() if flags["image"] else None
        self._tokens_a_word = _TOKENS_A_WORD

    def head(self) -> None:
        if self._flags["format"] == "csv":
            self._say("NAME,STEP,COUNT,NS_PER_COUNT,TOKEN_PER_SEC")
        elif self._flags["v"]:
            machine = platform.machine().lower()
            self._say(f"goos: {platform.system().lower()}")
            self._say(f"goarch: {({'x86_64': 'amd64', 'aarch64': 'arm64'}).get(machine, machine)}")

    def measure(self, model: str) -> bool:
        """Warm up, run the epochs, unload. Whether all of them gave a result."""
        server = Server.find()
        short = done = 0
        try:
            with server.answering(), server.client(read_seconds=self._flags["timeout"]) as client:
                self._warm_up(client, model)
                self._say(_description(client, model))
                for epoch in range(self._flags["epochs"]):
                    metrics, is_short = self._epoch(client, model, epoch)
                    done, short = done + 1, short + is_short
                    for metric in metrics:
                        self._say(_ROWS[self._flags["format"]](model, metric))
                    self._pause()
                client.generate(model=model, keep_alive=0)
        except OllamaError as error:
            _tell(f"ERROR: Couldn't generate with model '{model}': {error.message}")
        if short:
            _tell(
                f"WARNING: {short}/{done} epochs for '{model}' had short responses "
                f"(<{self._flags['max_tokens']} tokens). Generation metrics may be unreliable."
            )
        return bool(done == self._flags["epochs"])

    def _warm_up(self, client: ollama.Client, model: str) -> None:
        for turn in range(1, self._flags["warmup"] + 1):
            last, _ = self._request(client, model, -turn)
            self._debug(f"Warmup {turn}/{self._flags['warmup']} for {model} complete")
            words = len(self._prompt(-turn).split())
            if self._flags["prompt_tokens"] and last.prompt_eval_count:
                self._tokens_a_word = last.prompt_eval_count / words

    def _epoch(self, client: ollama.Client, model: str, epoch: int) -> tuple[list[Metric], bool]:
        """The rows of a timed request. One that ends early is tried again with another prompt."""
        short = False
        for attempt in range(_RETRIES + 1):
            last, first_token = self._request(client, model, epoch + attempt * 1000)
            short = (last.eval_count or 0) < self._flags["max_tokens"]
            if not short:
                break
            self._debug(f"Short response ({last.eval_count}/{self._flags['max_tokens']} tokens), attempt {attempt + 1}")
        return [
            Metric("prefill", last.prompt_eval_duration or 0, last.prompt_eval_count or 0),
            Metric("generate", last.eval_duration or 0, last.eval_count or 0),
            Metric("ttft", first_token),
            Metric("load", last.load_duration or 0),
            Metric("total", last.total_duration or 0),
        ], short

    def _request(self, client: ollama.Client, model: str, epoch: int) -> tuple[Any, int]:
        """The last chunk of an answer, and nanoseconds until the first text."""
        begun, first = time.monotonic_ns(), 0
        for chunk in client.generate(**self._body(model, epoch), stream=True):
            if time.monotonic_ns() - begun > self._flags["timeout"] * 10**9:
                raise OllamaError(f"timed out after {self._flags['timeout']}s")
            if not first and (chunk.response or chunk.thinking):
                first = time.monotonic_ns() - begun
            self._debug(chunk.thinking or chunk.response or "", end="\n" if chunk.done else "")
            if chunk.done:
                return chunk, first
        raise OllamaError("the stream ended without a last line")

    def _body(self, model: str, epoch: int) -> dict[str, Any]:
        options = {"temperature": self._flags["temperature"]}
        for option, flag in (("num_predict", "max_tokens"), ("seed", "seed"), ("num_ctx", "num_ctx")):
            if self._flags[flag] > 0:
                options[option] = self._flags[flag]
        body: dict[str, Any] = {"model": model, "prompt": self._prompt(epoch), "raw": True, "options": options}
        if self._flags["k"] > 0:
            body["keep_alive"] = f"{self._flags['k']}s"
        return body | ({"images": [self._image]} if self._image else {})

    def _prompt(self, epoch: int) -> str:
        """A prompt that begins differently in every epoch, so that no cached beginning is measured."""
        if not self._flags["prompt_tokens"]:
            return f"[{epoch}] {self._flags['p'] or PROMPT}"
        count = max(1, int(self._flags["prompt_tokens"] / self._tokens_a_word))
        words = _WORDS.split()
        return " ".join(words[(at + epoch * 7) % len(words)] for at in range(count))

    def _pause(self) -> None:
        if self._flags["k"] > 0:  # until the model is unloaded, so that the next request loads it
            time.sleep(self._flags["k"] + 0.2)

    def _debug(self, text: str, end: str = "\n") -> None:
        if self._flags["debug"]:
            print(harmless(text), end=end, file=sys.stderr, flush=True)


def _tell(text: str) -> None:
    print(printable(text), file=sys.stderr)


def _description(client: ollama.Client, model: str) -> str:
    details = client.show(model).details
    facts = [
        ("Params", details and details.parameter_size),
        ("Quant", details and details.quantization_level),
        ("Family", details and details.family),
    ]
    shown = [f"# Model: {model}", *(f"{name}: {value or 'unknown'}" for name, value in facts)]
    return printable(" | ".join([*shown, *_memory(client, model)]))


def _memory(client: ollama.Client, model: str) -> Iterator[str]:
    for running in client.ps().models:
        if running.model in (model, f"{model}:latest"):
            yield f"Size: {running.size or 0} | VRAM: {running.size_vram or 0}"
            yield f"NumCtx: {running.context_length or 0}"
            return


def _speeds(metric: Metric) -> tuple[float, float]:
    """Nanoseconds a token, and tokens a second."""
    if not metric.count or not metric.nanoseconds:
        return 0.0, 0.0
    return metric.nanoseconds / metric.count, metric.count / metric.nanoseconds * 1e9


def _benchstat(model: str, metric: Metric) -> str:
    start = f"BenchmarkModel/name={model}/step={metric.step} 1"
    if not metric.has_tokens:
        return f"{start} {metric.nanoseconds} ns/op"
    each, rate = _speeds(metric)
    return f"{start} {each:.2f} ns/token {rate:.2f} token/sec" if metric.count else f"{start} 0 ns/token 0 token/sec"


def _csv(model: str, metric: Metric) -> str:
    if not metric.has_tokens:
        return f"{model},{metric.step},1,{metric.nanoseconds},0"
    each, rate = _speeds(metric)
    return f"{model},{metric.step},{metric.count},{each:.2f},{rate:.2f}"


_ROWS: dict[str, Callable[[str, Metric], str]] = {"benchstat": _benchstat, "csv": _csv}
