"""`/v1/models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ollama_jupyter.messages import ModelSummary
from ollama_jupyter.names import ModelName


def model(name: str, modified_at: float) -> dict[str, Any]:
    """One entry of the model list. `owned_by` is the namespace."""
    owner = ModelName.parse(name).namespace
    return {"id": name, "object": "model", "created": int(modified_at), "owned_by": owner}


def models(summaries: Sequence[ModelSummary]) -> dict[str, Any]:
    return {"object": "list", "data": [model(summary.name, summary.modified_at) for summary in summaries]}
