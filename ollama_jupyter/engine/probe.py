"""The first load of an unknown model file happens in a child process: if llama.cpp aborts, only the child dies.

Run as `python -m ollama_jupyter.engine.probe` with the path on standard input. It loads the model with a tiny
context, decodes one token, samples it, and prints a JSON verdict. Verdicts are kept by blob and by llama.cpp build.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from ollama_jupyter.errors import EngineError, InsufficientMemory, ModelLoadError

_KEPT_ENV = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "HOME", "TMPDIR", "PYTHONPATH", "LANG")
_DEVICE_ENV = ("CUDA_", "HIP_", "ROCR_", "GGML_", "GPU_", "HSA_")


class Prober:
    """Asks a child process whether a file loads, once per file and build. `folder` keeps the verdicts."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder
        self._timeout = timeout
        self._verdicts: dict[str, str] = {}

    async def check(self, digest: str, path: Path, adapters: tuple[str, ...] = ()) -> None:
        """Return if the model loads.

        Raises:
            ModelLoadError: it does not, with the reason; the reason is remembered.
            EngineError: the child gave no verdict on the file: it ran out of time or memory.
        """
        key = await asyncio.to_thread(self._key, digest, adapters)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = await asyncio.to_thread(self._read, key)
        if verdict is None:
            verdict = await self._run(path, adapters)
            await asyncio.to_thread(self._write, key, verdict)
        self._verdicts[key] = verdict
        if verdict:
            raise ModelLoadError(verdict)

    @staticmethod
    def _key(digest: str, adapters: tuple[str, ...]) -> str:
        from ollama_jupyter.engine.llama import init_library, library_version

        init_library()
        text = "\n".join([digest, library_version(), *adapters])
        return hashlib.sha256(text.encode()).hexdigest()

    def _read(self, key: str) -> str | None:
        try:
            return str(json.loads((self._folder / f"{key}.json").read_text())["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, key: str, verdict: str) -> None:
        """Keep a verdict on disk; a read-only store only loses the memory of it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = self._folder / f"{key}.{os.getpid()}.tmp"
            partial.write_text(json.dumps({"reason": verdict}))
            partial.replace(self._folder / f"{key}.json")
        except OSError:
            return

    async def _run(self, path: Path, adapters: tuple[str, ...]) -> str:
        """The child's verdict; "" is good."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ollama_jupyter.engine.probe",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_child_env(),
        )
        question = json.dumps({"path": str(path), "adapters": adapters}).encode()
        try:
            out, _ = await asyncio.wait_for(child.communicate(question), self._timeout)
        except asyncio.TimeoutError:
            raise EngineError("timed out waiting for the model to load") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return _verdict(child.returncode or 0, out)


def _verdict(code: int, out: bytes) -> str:
    try:
        return str(json.loads(out.splitlines()[-1])["reason"])
    except (IndexError, ValueError, KeyError):
        pass
    if code == -signal.SIGKILL:
        raise InsufficientMemory("the model was killed while loading: it needs more memory than there is")
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the model is unusable: loading it ended llama.cpp ({name})"


def _child_env() -> dict[str, str]:
    """No secrets of the server's: only what finding the libraries and the devices needs."""
    env = {k: v for k, v in os.environ.items() if k in _KEPT_ENV or k.startswith(_DEVICE_ENV)}
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return env | {"GGML_NO_BACKTRACE": "1", "PYTHONPATH": os.pathsep.join(paths)}


# ---- the child --------------------------------------------------------------------------------------------------


def _sacrifice_first() -> None:
    """When memory runs out, let the kernel end this process and not the server; leave no core dump."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:  # not Linux
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _alarm(seconds: int) -> None:
    """End this process after so many seconds, where the system can; 0 takes it back."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


SAMPLE_TEXT = "Hello" + "".join(map(chr, range(1, 0x250))) + "<|im_start|>日本語🙂"
TOKENIZE_SECONDS = 5


def _try(path: str, adapters: list[str]) -> str:
    from ollama_jupyter.engine.backend import Outcome, Span
    from ollama_jupyter.engine.events import EngineParams
    from ollama_jupyter.engine.llama import LlamaBackend
    from ollama_jupyter.engine.sampling import sampler_steps
    from ollama_jupyter.messages import Options

    params = EngineParams(path, num_ctx=64, num_parallel=1, num_batch=32, adapters=tuple(adapters))
    try:
        backend = LlamaBackend(params)
        _alarm(TOKENIZE_SECONDS)  # some broken vocabularies never come to an end
        tokens = backend.vocab.tokenize(SAMPLE_TEXT, add_special=True) or [0]
        _alarm(0)
        if backend.decode([Span(0, 0, tokens[:8], logits=True)]) is not Outcome.OK:
            return "the model is unusable: it cannot run a prompt"
        token = backend.sample(backend.sampler(sampler_steps(Options(seed=1), 64), ()), 0)
        backend.piece(token)
    except Exception as error:
        return str(error)
    return ""


def main() -> None:
    _sacrifice_first()
    question = json.loads(sys.stdin.read())
    reason = _try(question["path"], question["adapters"])
    print(json.dumps({"reason": reason}), flush=True)
    os._exit(0)  # nothing to tidy, and a destructor's crash must not spoil the verdict


if __name__ == "__main__":
    main()
