"""Anthropic's messages, to neutral requests and back.

Reference: Anthropic's public API (version 2023-06-01), and Ollama 0.33's translation of it, `anthropic/anthropic.go`.
"""

from __future__ import annotations

from ollama_jupyter.api.anthropic.answers import Answer, Event, count, error
from ollama_jupyter.api.anthropic.requests import count_request, messages_request

__all__ = ["Answer", "Event", "count", "count_request", "error", "messages_request"]
