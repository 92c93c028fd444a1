"""OpenAI's API: bodies of `/v1/*` to neutral requests, and neutral values to its answers.

Reference: Ollama 0.33's `openai/openai.go` for what its clients rely on, OpenAI's own API where Ollama ignores fields.
"""

from __future__ import annotations

from ollama_jupyter.api.openai.chat import Completion, chat_request
from ollama_jupyter.api.openai.completions import TextCompletion, completion_request
from ollama_jupyter.api.openai.envelope import error
from ollama_jupyter.api.openai.models import model, models
from ollama_jupyter.api.openai.response_answers import Response
from ollama_jupyter.api.openai.response_requests import response_request
from ollama_jupyter.api.openai.transcriptions import transcription_request

__all__ = [
    "Completion",
    "Response",
    "TextCompletion",
    "chat_request",
    "completion_request",
    "error",
    "model",
    "models",
    "response_request",
    "transcription_request",
]
