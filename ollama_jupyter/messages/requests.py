"""What is asked of a model: generate, chat, embed, rerank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from ollama_jupyter.messages.conversation import Message, Tool


@dataclass(frozen=True, slots=True)
class Format:
    """What an answer has to be: any JSON object, or what a JSON Schema, a regular expression or a list of texts allows.

    `value` is the decoded schema, the pattern, or a tuple of texts; None for plain JSON.
    """

    kind: Literal["json", "schema", "regex", "choice"]
    value: Any = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether a model may, must or must not call a tool. With `required`, `name` is the one that it must call."""

    mode: Literal["auto", "none", "required"] = "auto"
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Generation:
    """What both kinds of generation take. `model` is the text as sent, echoed verbatim. `keep_alive` in seconds.

    `think` None leaves it to the model; with `think_if_able` a model that cannot think is asked anyway.
    `top_logprobs` alternatives come with every token where `logprobs` is on. `n` answers share one prefill.
    `logit_bias` is added to the logits of its token ids.
    """

    model: str
    _: KW_ONLY
    stream: bool = True
    keep_alive: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    truncate: bool = True
    shift: bool = True
    think: bool | str | None = None
    think_if_able: bool = False
    format: Format | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    n: int = 1
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    debug_render_only: bool = False


@dataclass(frozen=True, slots=True)
class GenerateRequest(_Generation):
    """`/api/generate`. With a `suffix` the middle between it and `prompt` is filled. `images` are raw file bytes."""

    prompt: str = ""
    suffix: str = ""
    system: str | None = None
    template: str | None = None
    context: tuple[int, ...] = ()
    raw: bool = False
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest(_Generation):
    """`/api/chat` and everything that maps to it. `parallel_tool_calls` False ends the answer after one call."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """`/api/embed` and what maps to it: one vector for each input, in order. `dimensions` 0 keeps them all.

    `normalize` False leaves vectors as they are where the model says that its vectors are no directions.
    """

    model: str
    inputs: tuple[str, ...] = ()
    _: KW_ONLY
    truncate: bool = True
    dimensions: int = 0
    normalize: bool = True
    keep_alive: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """`/v1/rerank`: how well each document answers the query."""

    model: str
    query: str
    documents: tuple[str, ...]
    _: KW_ONLY
    truncate: bool = True
    keep_alive: float | None = None
