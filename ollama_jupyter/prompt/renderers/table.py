"""Which renderer a name stands for."""

from __future__ import annotations

import re
from collections.abc import Callable

from ollama_jupyter.prompt.renderers import cohere, deepseek, functiongemma, gemma4, glm, lfm, olmo, qwen
from ollama_jupyter.prompt.renderers.common import Render, guarded

_TABLE: dict[str, Callable[[], Render]] = {
    "qwen3-coder": lambda: qwen.coder,
    "qwen3.5": lambda: qwen.qwen35,
    "qwen3-vl-instruct": lambda: qwen.vl_instruct,
    "qwen3-vl-thinking": lambda: qwen.vl_thinking,
    "cogito": lambda: deepseek.cogito,
    "deepseek3.1": lambda: deepseek.v31,
    "olmo3": olmo.instruct,
    "olmo3.1": olmo.olmo31,
    "olmo3-think": olmo.think,
    "olmo3-32b-think": olmo.think_32b,
    "gemma4-small": lambda: gemma4.gemma4(large=False),
    "gemma4-large": lambda: gemma4.gemma4(large=True),
    "functiongemma": lambda: functiongemma.functiongemma,
    "glm-4.7": lambda: glm.glm47,
    "lfm2": lfm.lfm2,
    "lfm2-thinking": lambda: lfm.lfm2(thinks=True),
    "cohere": lambda: cohere.cohere,
}
# `gemma4` names one of two, by the model's name or size.
_GEMMA_LARGE, _LARGE = re.compile(r"12b|26b|31b", re.IGNORECASE), 12_000_000_000


def renderer_named(name: str, *, model: str = "", parameters: int = 0) -> Render | None:
    """The renderer, or None where it is not one of ours.

    Args:
        model, parameters: the name of the model and its number of weights, for names that stand for several.
    """
    if name == "gemma4":
        large = bool(_GEMMA_LARGE.search(model)) or parameters >= _LARGE
        name = "gemma4-large" if large else "gemma4-small"
    make = _TABLE.get(name)
    return guarded(make()) if make else None


def names() -> tuple[str, ...]:
    """Every name that a model may give."""
    return (*_TABLE, "gemma4")
