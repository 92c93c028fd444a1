"""A model that says what a test tells it to say, behind a manager that always has it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ollama_jupyter.config import Settings
from ollama_jupyter.engine.events import Finished, Text
from ollama_jupyter.gguf.header import GGUFHeader
from ollama_jupyter.manager import Lease
from ollama_jupyter.messages import Options
from ollama_jupyter.names import Digest, ModelName
from ollama_jupyter.service import Service
from ollama_jupyter.store.models import Model

PROJECTOR = Path("projector")
CHAT = "{{ range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}[assistant]"
THINKING = (
    "{{ if .Think }}(think {{ .ThinkLevel }}){{ else if .IsThinkSet }}(do not think){{ end }}{{ range .Messages }}"
    "[{{ .Role }}]{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}[assistant]"
)
TOOLS = (
    "{{ if .Tools }}(tools {{ .Tools }}){{ end }}{{ range .Messages }}[{{ .Role }}]{{ .Content }}"
    '{{ range .ToolCalls }}<tool_call>{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}'
    "</tool_call>{{ end }}{{ end }}[assistant]"
)
FILL = "{{ if .Suffix }}<pre>{{ .Prompt }}<suf>{{ .Suffix }}<mid>{{ else }}{{ .Prompt }}{{ end }}"


def model(
    template: str | None = CHAT,
    *,
    metadata: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    system: str = "",
    projectors: tuple[Path, ...] = (),
) -> Model:
    header = GGUFHeader(3, 0, 32, 0, {"general.architecture": "llama"} | dict(metadata or {}), {}, ())
    return Model(
        ModelName.parse("m"),
        "ab" * 32,
        Path("weights"),
        Digest("ab" * 32),
        header,
        config or {},
        template=template,
        system=system,
        projectors=projectors,
    )


class FakeVocab:
    """A token is a byte; those from 256 on are control tokens, told by their texts."""

    adds_bos = False

    def __init__(self, controls: Sequence[str] = ()) -> None:
        self.controls = list(controls)
        self.size = 256 + len(self.controls)

    def tokenize(self, text: str, *, add_special: bool, deadline: float = 0.0) -> list[int]:
        return [256 + self.controls.index(text)] if text in self.controls else list(text.encode())

    def text(self, tokens: Sequence[int]) -> str:
        return b"".join(self.piece(token, special=True) for token in tokens).decode()

    def piece(self, token: int, *, special: bool = False) -> bytes:
        if token < 256:
            return bytes([token])
        return self.controls[token - 256].encode() if special else b""


class FakeHandle:
    """Says each text of `says` as one event, in turn for each answer; `asked` is what it was asked."""

    def __init__(self) -> None:
        self.vocab = FakeVocab()
        self.says: Sequence[str | Exception] = ["hello"]
        self.reason = "stop"
        self.asked: dict[str, Any] = {}

    async def stream(
        self,
        tokens: tuple[int, ...],
        options: Options,
        num_ctx: int,
        shift: bool,
        on_end: Callable[[], None],
        **extras: Any,
    ) -> AsyncGenerator[Text | Finished, None]:
        self.asked = {"tokens": tokens, "options": options, "num_ctx": num_ctx, "shift": shift, **extras}
        n = extras.get("n", 1)
        for said in self.says:
            if isinstance(said, Exception):
                raise said
            for choice in range(n):
                yield Text(1, said, choice)
        on_end()
        for choice in range(n):
            yield Finished(1, self.reason, (1,) * len(self.says), len(tokens), 0, 0.5, 0.5, choice)

    @property
    def prompt(self) -> str:
        return self.vocab.text(self.asked["tokens"])


class FakeManager:
    def __init__(self, handle: FakeHandle) -> None:
        self.handle = handle
        self.leases = 0
        self.num_ctx = 4096

    @asynccontextmanager
    async def lease(self, _: Model, options: Options, keep_alive: float | None) -> AsyncIterator[Lease]:
        self.leases += 1
        yield Lease(self.handle, options.num_ctx or self.num_ctx, 0.25, lambda _: None, lambda: None)  # type: ignore[arg-type]


class Fake:
    """The service over one model."""

    def __init__(self, stored: Model) -> None:
        self.handle = FakeHandle()
        self.manager = FakeManager(self.handle)

        async def resolve(_: str) -> Model:
            return stored

        self.service = Service(resolve, self.manager, Settings())  # type: ignore[arg-type]
