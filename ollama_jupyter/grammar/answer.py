"""The grammar of one whole answer: thinking, then prose with calls, or calls, or what a format allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ollama_jupyter.messages import Format, Tool, ToolChoice
from ollama_jupyter.prompt.output import Output


def check(format: Format | None, tools: Sequence[Tool]) -> None:
    """Refuse what no grammar can hold.

    Raises:
        BadRequest: naming the field, the keyword and its path.
    """


def plan(
    *,
    output: Output,
    specials: Mapping[str, int],
    tools: Sequence[Tool] = (),
    choice: ToolChoice = ToolChoice(),
    parallel: bool = True,
    format: Format | None = None,
    think: bool = False,
    prompt: str = "",
) -> str | None:
    """The grammar, or None where nothing is to be held.

    Args:
        output: how the model writes thinking and calls.
        specials: the vocabulary's special tokens, text to id (`engine.constrain.specials`).
        think: thinking is wanted. It may be skipped, unless the `prompt` has opened it.
        prompt: the rendered prompt.

    Raises:
        BadRequest: naming the field, the keyword and its path.
    """
    return None
