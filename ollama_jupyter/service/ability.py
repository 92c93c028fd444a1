"""What a model can do, and whether that is what a request asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import ChatRequest, GenerateRequest
from ollama_jupyter.prompt.select import Renderer, capabilities, choose
from ollama_jupyter.store.models import Model

Request = ChatRequest | GenerateRequest
Think = bool | str | None
Known = tuple[Renderer, tuple[str, ...]]


def known(model: Model, prefer_go: bool | None) -> Known:
    """What renders the model's prompts, and what it can do."""
    renderer = renderer_of(model, prefer_go)
    return renderer, abilities(model, renderer)


def renderer_of(model: Model, prefer_go: bool | None) -> Renderer:
    """What renders the model's prompts. `prefer_go` is OLLAMA_GO_TEMPLATE."""
    return choose(
        template=model.template,
        chat_template=model.chat_template,
        family=model.family,
        bos=model.bos,
        eos=model.eos,
        prefer_go=prefer_go,
        renderer=model.renderer,
        parser=model.parser,
        infill=model.infill,
        name=model.name.model,
        parameters=model.gguf.parameter_count,
    )


def abilities(model: Model, renderer: Renderer) -> tuple[str, ...]:
    """As `/api/show` tells them."""
    return capabilities(
        template=model.template,
        chat_template=model.chat_template,
        native=renderer.native,
        family=model.family,
        configured=model.configured_capabilities,
        pooling=model.gguf.has_pooling,
        vision=model.gguf.get("vision.block_count") is not None,
        audio=model.gguf.get("audio.block_count") is not None,
        projector=bool(model.projectors),
        parser=model.parser,
        infill=model.infill is not None,
    )


def thinking(request: Request, able: tuple[str, ...], renderer: Renderer) -> Think:
    """Whether the answer begins with thinking, and how hard. A model that can think does so unless told not to.

    Raises:
        BadRequest: it shall, and cannot.
    """
    if "thinking" in able:
        harmony = renderer.output.name == "harmony"  # it knows no "max"
        return True if request.think is None else "high" if harmony and request.think == "max" else request.think
    if request.think and not request.think_if_able:
        raise BadRequest(f"{json.dumps(request.model, ensure_ascii=False)} does not support thinking")
    return None if request.think else request.think


def check(request: Request, model: Model, able: tuple[str, ...]) -> None:
    """Refuse what the model cannot do, and what contradicts itself, in Ollama's words where it has some.

    Raises:
        BadRequest: naming what it lacks.
    """
    if isinstance(request, GenerateRequest) and request.raw and (request.template or request.system or request.context):
        raise BadRequest("raw mode does not support template, system, or context")
    quoted = json.dumps(request.model, ensure_ascii=False)
    if "completion" not in able:
        verb = "chat" if isinstance(request, ChatRequest) else "generate"
        raise BadRequest(f"{quoted} does not support {verb}")
    if missing := [need for need in _needs(request) if need not in able]:
        raise BadRequest(f"{model.name.qualified} does not support " + "\n".join(missing))
    if _images(request) and not request.debug_render_only:
        _refuse_images(quoted, able)


def check_tokens(request: Request, vocabulary: int) -> None:
    """Refuse biases of tokens that a vocabulary of so many does not have.

    Raises:
        BadRequest: naming the first.
    """
    for token in request.logit_bias:
        if not 0 <= token < vocabulary:
            raise BadRequest(f'field "logit_bias" names token {token}; the model has {vocabulary}')


def _needs(request: Request) -> Iterator[str]:
    if isinstance(request, GenerateRequest):
        if request.suffix:
            yield "insert"
    elif request.tools and request.tool_choice.mode == "auto":
        yield "tools"


def _images(request: Request) -> bool:
    if isinstance(request, GenerateRequest):
        return bool(request.images)
    return any(message.images for message in request.messages)


def _refuse_images(quoted: str, able: tuple[str, ...]) -> None:
    if "vision" in able or "audio" in able:
        raise BadRequest(f"{quoted} has a projector, but this version does not look at images or listen to sound yet")
    raise BadRequest(f"{quoted} does not support images: it has no projector, which is the part of a model that sees")
