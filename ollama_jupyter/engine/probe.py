"""The first load of an unknown model file happens in a child process: if llama.cpp aborts, only the child dies.

The child reads the path from its standard input. It loads the model with a tiny
context, decodes one token, samples it, and prints a JSON verdict. Of a model that pools it makes vectors too: in the
server, an unknown way of pooling or a missing head would end the process. Verdicts are kept by blob, by llama.cpp
build and by what is tried.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ollama_jupyter import processes
from ollama_jupyter.errors import EngineError, InsufficientMemory, ModelLoadError, NotFound
from ollama_jupyter.gguf import read_header

T = TypeVar("T")


class Prober:
    """Asks a child process whether a file loads, once per file and build. `folder` keeps the verdicts.

    A file that was replaced, as a repair does, is another file whatever it is called.

    It has a thread of its own for its small files, so that it never waits for work that waits for it.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder
        self._timeout = timeout
        self._verdicts: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ollama-probe")

    async def check(
        self, digest: str, path: Path, adapters: tuple[str, ...] = (), shards: tuple[str, ...] = ()
    ) -> None:
        """Return if the model loads. Of several `shards`, `path` and `digest` are those of the first.

        Raises:
            ModelLoadError: it does not, with the reason; the reason is remembered.
            NotFound: the file is gone.
            EngineError: the child gave no verdict on the file: it ran out of time or memory, or was ended.
        """
        files = (str(path), *shards, *adapters)
        stamps = await self._in_thread(_stamps, files)
        key = await self._in_thread(_key, digest, adapters, shards, stamps)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = await self._in_thread(self._read, key)
        if verdict is None:
            verdict = await self._run(path, adapters, shards)
            if verdict and await self._in_thread(_stamps, files) != stamps:
                raise _deleted()
            await self._in_thread(self._write, key, digest, verdict)
        self._verdicts[key] = verdict
        if verdict:
            raise ModelLoadError(verdict)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    def _read(self, key: str) -> str | None:
        try:
            return str(json.loads((self._folder / f"{key}.json").read_text())["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, key: str, digest: str, verdict: str) -> None:
        """Keep a verdict on disk, with the blob that it is on; a read-only store only loses the memory of it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = self._folder / f"{key}.{os.getpid()}.tmp"
            partial.write_text(json.dumps({"reason": verdict, "digest": digest}))
            partial.replace(self._folder / f"{key}.json")
        except OSError:
            return

    async def _run(self, path: Path, adapters: tuple[str, ...], shards: tuple[str, ...]) -> str:
        """The child's verdict; "" is good."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _BOOTSTRAP),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=processes.environment(),
            start_new_session=True,  # Ctrl-C in the server's terminal is not a verdict
        )
        question = json.dumps({"path": str(path), "adapters": adapters, "shards": shards}).encode()
        try:
            out, _ = await asyncio.wait_for(child.communicate(question), self._timeout)
        except asyncio.TimeoutError:
            raise EngineError("timed out waiting for the model to load") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return _verdict(child.returncode or 0, out)


def trial(path: Path, shards: tuple[str, ...] = (), timeout: float = 300.0) -> str:
    """Load a file and make one token, in a child, whatever was found before; "" if it went well, else the reason. For
    threads that may wait.

    Raises:
        EngineError: the child gave no verdict on the file: it ran out of time or memory, or was ended.
    """
    question = json.dumps({"path": str(path), "adapters": (), "shards": shards}).encode()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _BOOTSTRAP],
            input=question,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=processes.environment(),
            start_new_session=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineError("timed out waiting for the model to load") from None
    return _verdict(done.returncode, done.stdout)


_BOOTSTRAP = f"{processes.CLEAN_PATH}from ollama_jupyter.engine.probe import main; main()"
_TRIAL = "2"  # counts on when more is tried, so that earlier verdicts are asked for again
_FATAL = {"SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGPROF"}  # the file's doing, and so for good


def _key(digest: str, adapters: tuple[str, ...], shards: tuple[str, ...], stamps: list[str]) -> str:
    from ollama_jupyter.engine.model import init_library, library_version

    init_library()
    text = "\n".join([_TRIAL, digest, library_version(), *adapters, *shards, *stamps])
    return hashlib.sha256(text.encode()).hexdigest()


def _stamps(files: tuple[str, ...]) -> list[str]:
    """What tells each file from another of its name."""
    try:
        found = [Path(file).stat() for file in files]
    except FileNotFoundError:
        raise _deleted() from None
    return [f"{stat.st_size} {stat.st_mtime_ns}" for stat in found]


def _deleted() -> NotFound:
    return NotFound("the model was deleted while it was being loaded")


def _verdict(code: int, out: bytes) -> str:
    try:
        return str(json.loads(out.splitlines()[-1])["reason"])
    except (IndexError, ValueError, KeyError):
        pass
    if code == -signal.SIGKILL:
        raise InsufficientMemory("the model was killed while loading: it needs more memory than there is")
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    if name not in _FATAL:
        raise EngineError(f"the trial load of the model was ended ({name}); try again")
    return f"the model is unusable: loading it ended llama.cpp ({name})"


# ---- the child --------------------------------------------------------------------------------------------------


def _limit_cpu(seconds: float) -> None:
    """End this process after so many seconds of computing, where the system can; 0 takes it back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


SAMPLE_TEXT = "Hello" + "".join(map(chr, range(1, 0x250))) + "<|im_start|>日本語🙂"
TOKENIZE_SECONDS = 5


def _try(path: str, adapters: list[str], shards: list[str]) -> str:
    from ollama_jupyter.engine.backend import Outcome, Span
    from ollama_jupyter.engine.embedding import EmbeddingBackend
    from ollama_jupyter.engine.events import EngineParams
    from ollama_jupyter.engine.llama import LlamaBackend
    from ollama_jupyter.engine.sampling import sampler_steps
    from ollama_jupyter.messages import Options

    params = EngineParams(path, 64, 1, num_batch=32, adapters=tuple(adapters), shards=tuple(shards))
    try:
        backend = LlamaBackend(params)
        _limit_cpu(TOKENIZE_SECONDS)  # some broken vocabularies never come to an end
        tokens = backend.vocab.tokenize(SAMPLE_TEXT, add_special=True) or [0]
        _limit_cpu(0)
        if backend.decode([Span(0, 0, tokens[:8], logits=True)]) is not Outcome.OK:
            return "the model is unusable: it cannot run a prompt"
        token = backend.sample(backend.sampler(sampler_steps(Options(seed=1), 64), ()), 0)
        backend.piece(token)
        backend.close()
        if _pools(shards[0] if shards else path):
            EmbeddingBackend(replace(params, embeds=True)).encode([tokens[:8], tokens[:2]])
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


def _pools(path: str) -> bool:
    return read_header(Path(path)).pooling_type != 0


def main() -> None:
    processes.sacrifice_first()
    question = json.loads(sys.stdin.read())
    reason = _try(question["path"], question["adapters"], question["shards"])
    print(json.dumps({"reason": reason}), flush=True)
    os._exit(0)  # nothing to tidy, and a destructor's crash must not spoil the verdict
