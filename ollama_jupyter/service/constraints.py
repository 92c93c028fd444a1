"""What an answer is held to: the grammar of a request, compiled for a model. For threads of a pool."""

from __future__ import annotations

from ollama_jupyter import grammar
from ollama_jupyter.engine import constrain
from ollama_jupyter.engine.constrain import Constraint
from ollama_jupyter.errors import BadRequest
from ollama_jupyter.manager import Lease
from ollama_jupyter.messages import ChatRequest, ToolChoice
from ollama_jupyter.service.prompts import Job


def is_held(job: Job) -> bool:
    """Whether there is anything that an answer is held to."""
    return job.request.format is not None or bool(job.offer.tools)


def check(job: Job) -> None:
    """Refuse what no grammar can hold, before anything is loaded for it.

    Raises:
        BadRequest: naming the field, the keyword and its path.
    """
    grammar.check(job.request.format, job.offer.tools)


def constraint(job: Job, prompt: str, lease: Lease) -> Constraint | None:
    """What an answer to the rendered prompt is held to. Raises as `check`."""
    chat = job.request if isinstance(job.request, ChatRequest) else None
    text = grammar.plan(
        output=job.output,
        specials=constrain.specials(lease.vocab),
        tools=job.offer.tools,
        choice=chat.tool_choice if chat else ToolChoice(),
        parallel=chat.parallel_tool_calls if chat else True,
        form=job.request.format,
        think=bool(job.request.think),
        prompt=prompt,
    )
    if text is None:
        return None
    try:
        return constrain.compile_grammar(text, lease.vocab)
    except BadRequest as error:
        raise grammar.explain(error, job.request.format, job.offer.tools) from None
