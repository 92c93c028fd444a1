"""Fakes of the compute side for the tests of the server room, and a raw HTTP client.

The real service, library and manager stand behind the same doors in test_end_to_end.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from ollama_jupyter.config import Settings
from ollama_jupyter.durations import FOREVER
from ollama_jupyter.errors import BadRequest, ModelNotFound
from ollama_jupyter.messages import (
    Chunk,
    CreateRequest,
    Details,
    Message,
    ModelDescription,
    ModelSummary,
    Progress,
    PullRequest,
    PushRequest,
    RunningModel,
    Stats,
    TensorInfo,
)
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.reports import ScanReport, VerifyReport
from ollama_jupyter.server.app import Ollama

DETAILS = Details("", "gguf", "llama", ("llama",), "135M", "Q4_1", 2048, 576)
STATS = Stats(1.5, 0.25, 10, 0.5, 2, 0.125)
FINAL = Chunk(done=True, done_reason="stop", stats=STATS, context=(1, 2))

Step = Chunk | Exception | asyncio.Event


class FakeService:
    """Plays `script`: yields chunks, raises exceptions, waits for events. `closed` is set when a run is over."""

    def __init__(self) -> None:
        self.script: Sequence[Step] = [Chunk("Hel"), Chunk("lo"), FINAL]
        self.requests: list[Any] = []
        self.started = asyncio.Event()
        self.closed = asyncio.Event()
        self.outcome = ""

    def says(self, *script: Step) -> None:
        self.script = script
        self.started, self.closed, self.outcome = asyncio.Event(), asyncio.Event(), ""

    async def generate(self, request: Any) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        self.started.set()
        self.outcome = "finished"
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        except (asyncio.CancelledError, GeneratorExit):
            self.outcome = "cancelled"
            raise
        finally:
            self.closed.set()

    chat = generate

    def close(self) -> None:
        pass


class FakeLibrary:
    """One model, `m:latest`, and blobs in a folder. `peak` is the largest piece that was written at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = [ModelSummary("m:latest", 1_700_000_000.25, 123, "ab" * 32, DETAILS, ("completion",))]
        self.steps: Sequence[Progress | Exception | asyncio.Event] = [Progress("writing manifest"), Progress("success")]
        self.calls: list[Any] = []
        self.tools = FakeTools(self.calls)
        self.peak = 0
        self.plays_ended = 0
        self.closed = False

    async def tags(self) -> list[ModelSummary]:
        return self.models

    async def show(self, name: str, **options: Any) -> ModelDescription:
        self.calls.append(("show", name, options))
        if name not in ("m", "m:latest", "ns/m:latest"):
            raise ModelNotFound(name, f"model '{name}:latest' not found")
        return description()

    async def create(self, request: CreateRequest, *, trusted: bool) -> AsyncGenerator[Progress, None]:
        self.calls.append(request)
        async for step in self._play(self.steps):
            yield step

    def pull(self, request: PullRequest, *, trusted: bool) -> AsyncGenerator[Progress, None]:
        ModelName.parse(request.model)
        self.calls.append((request, trusted))
        return self._play(self.steps)

    def push(self, request: PushRequest, *, trusted: bool) -> AsyncGenerator[Progress, None]:
        self.calls.append((request, trusted))
        return self._play(self.steps)

    async def _play(self, steps: Sequence[Progress | Exception | asyncio.Event]) -> AsyncGenerator[Progress, None]:
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.plays_ended += 1

    async def close(self) -> None:
        self.closed = True

    async def copy(self, source: str, destination: str) -> None:
        self.calls.append(("copy", source, destination))

    async def delete(self, name: str) -> None:
        if name != "m":
            raise ModelNotFound(name)
        self.calls.append(("delete", name))

    async def has_blob(self, digest: str) -> bool:
        return (self.folder / Digest.parse(digest).hex).exists()

    def blob_writer(self, digest: str) -> FakeUpload:
        self.calls.append(("upload", digest))
        return FakeUpload(self, Digest.parse(digest))


class FakeTools:
    """Scans of one model, and verifications that are written down."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls

    async def scan(self, name: str) -> ScanReport:
        return ScanReport(name, "ab" * 32)

    async def verify(self, request: Any, *, trusted: bool) -> AsyncGenerator[VerifyReport, None]:
        self.calls.append("verify")
        yield VerifyReport(0, 0, 0)


class FakeUpload:
    def __init__(self, library: FakeLibrary, digest: Digest) -> None:
        self.library, self.digest, self.hash = library, digest, hashlib.sha256()

    async def __aenter__(self) -> FakeUpload:
        _, name = tempfile.mkstemp(dir=self.library.folder, prefix="part-")
        self.path = Path(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        self.library.peak = max(self.library.peak, len(data))
        self.hash.update(data)

    async def commit(self) -> None:
        if self.hash.hexdigest() != self.digest.hex:
            raise BadRequest(f'digest mismatch, expected "{self.digest}", got "sha256:{self.hash.hexdigest()}"')
        self.path.rename(self.library.folder / self.digest.hex)


class FakeManager:
    def __init__(self) -> None:
        self.running = [RunningModel("m:latest", 500, "ab" * 32, DETAILS, FOREVER, 0, 4096)]
        self.closed = False

    def ps(self) -> list[RunningModel]:
        return self.running

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


def description() -> ModelDescription:
    return ModelDescription(
        license="",
        modelfile="FROM m",
        parameters="",
        template="{{ .Prompt }}",
        system="",
        messages=(Message("user", "hi"),),
        details=DETAILS,
        model_info={"llama.rope.freq_base": 100000.0, "general.architecture": "llama", "tokenizer.ggml.tokens": None},
        projector_info=None,
        tensors=(TensorInfo("output.weight", "Q8_0", (576, 49152)),),
        capabilities=("completion",),
        modified_at=1_700_000_000.25,
    )


def fake_ollama(folder: Path, **settings: Any) -> Any:
    return Ollama(Settings(**settings), FakeLibrary(folder), FakeService(), FakeManager())  # type: ignore[arg-type]


# ---- raw HTTP -----------------------------------------------------------------------------------------------------


class Raw:
    """A connection on which a test decides what is sent when."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> None:
        """Headers as keywords, `_` for `-`. Without `body` the caller sends it, or none."""
        headers = {"Host": "127.0.0.1"} | headers
        if body is not None:
            headers["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()), "", ""]
        await self.more("\r\n".join(lines).encode() + (body or b""))

    async def more(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers (lower-case names)."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.partition(": ") for line in lines[1:] if line]
        return int(lines[0].split()[1]), {name.lower(): value for name, _, value in pairs}

    async def chunk(self) -> bytes:
        """The next piece of a chunked answer, b"" at its end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """A whole answer with a Content-Length."""
        status, headers = await self.head()
        return status, headers, await self.reader.readexactly(int(headers.get("content-length", "0")))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()
