"""The neutral types that every dialect maps to and from.

Edges turn wire dictionaries into these, rooms below turn these into work, and back. Times are in seconds as float
(`time.time()` for points in time), sizes in bytes, counts in tokens unless a name says otherwise.
"""

from __future__ import annotations

from ollama_jupyter.messages.answers import Chunk, Embeddings, Ranking, Stats, TokenLogprob, Truncated
from ollama_jupyter.messages.conversation import Message, Tool, ToolCall
from ollama_jupyter.messages.models import (
    CreateRequest,
    Details,
    ModelDescription,
    ModelSummary,
    Progress,
    PullRequest,
    PushRequest,
    RunningModel,
    TensorInfo,
    VerifyRequest,
)
from ollama_jupyter.messages.options import (
    MAX_STOP_LENGTH,
    MAX_STOPS,
    OPTIONS,
    Options,
    OptionSpec,
    check_option,
    check_options,
)
from ollama_jupyter.messages.requests import (
    ChatRequest,
    EmbedRequest,
    Format,
    GenerateRequest,
    RerankRequest,
    ToolChoice,
)

__all__ = [
    "MAX_STOPS",
    "MAX_STOP_LENGTH",
    "OPTIONS",
    "ChatRequest",
    "Chunk",
    "CreateRequest",
    "Details",
    "EmbedRequest",
    "Embeddings",
    "Format",
    "GenerateRequest",
    "Message",
    "ModelDescription",
    "ModelSummary",
    "OptionSpec",
    "Options",
    "Progress",
    "PullRequest",
    "PushRequest",
    "Ranking",
    "RerankRequest",
    "RunningModel",
    "Stats",
    "TensorInfo",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "Truncated",
    "VerifyRequest",
    "check_option",
    "check_options",
]
