"""Chat templates of GGUF files: the Jinja that Hugging Face publishes, run over plain data within a budget.

Templates are strangers' code. jinja2 compiles them to Python and bounds neither time nor memory; MiniJinja has fuel,
but string doubling and `indent` of a huge width still end the process. So jinja2 only parses here, and the tree is
interpreted by us: every loop, string and list is paid for before it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.jinja.interpreter import Interpreter
from ollama_jupyter.prompt.jinja.syntax import parse
from ollama_jupyter.prompt.jinja.values import Function, Namespace, plain
from ollama_jupyter.prompt.limits import Budget

# What a model whose GGUF has no chat template is given, as by llama.cpp.
CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

# Stands at the end of a turn that is to be continued. Its trailing space tells whether the template trims contents.
_CONTINUE = "<|continue-from-here-7f3a|> "

_MAX_FORMAT = 256


def render(source: str, names: Mapping[str, Any], budget: Budget | None = None) -> str:
    """Run a template with these names: plain data only, other values are copied or made into text.

    Raises:
        TemplateError: the template does not parse, raises, or runs over its limits.
    """
    run = Interpreter(budget or Budget())
    return run.run(parse(source), {**_functions(run), **{name: plain(value) for name, value in names.items()}})


def _functions(run: Interpreter) -> dict[str, Any]:
    def range_(*args: int) -> list[int]:
        numbers = range(*args)
        run.budget.items(len(numbers))
        return list(numbers)

    def strftime_now(form: str) -> str:
        if len(form) > _MAX_FORMAT:
            raise TemplateError(f"strftime_now takes at most {_MAX_FORMAT} characters")
        return datetime.now().strftime(form)

    def raise_exception(message: Any = "") -> None:
        raise TemplateError(str(message))

    functions: dict[str, Callable[..., Any]] = {
        "range": range_,
        "strftime_now": strftime_now,
        "raise_exception": raise_exception,
    }
    functions["namespace"] = lambda *args, **kwargs: Namespace({**(args[0] if args else {}), **kwargs})
    functions["dict"] = lambda *args, **kwargs: {**(args[0] if args else {}), **kwargs}
    return {name: Function(name, call) for name, call in functions.items()}


def render_chat(
    source: str | None,
    messages: Sequence[Message],
    *,
    bos: str = "",
    eos: str = "",
    think: bool | str | None = None,
    tools: Sequence[Any] = (),
) -> str:
    """The prompt of a conversation. A trailing assistant turn is left open, so that the model continues it.

    Args:
        source: the template; None for chatml.
        think: passed as `enable_thinking`, and as `reasoning_effort` where it is a level.

    Raises:
        TemplateError: the template does not parse, refuses the conversation, or runs over its limits.
    """
    source = CHATML if source is None else source
    names: dict[str, Any] = {"bos_token": bos, "eos_token": eos, "tools": list(tools) or None, "documents": None}
    if think is not None:
        names["enable_thinking"] = bool(think)
    if isinstance(think, str):
        names["reasoning_effort"] = think
    turns = [_turn(message) for message in messages]
    last = messages[-1] if messages else None
    if last is None or last.role != "assistant" or last.tool_calls:
        return render(source, {**names, "messages": turns, "add_generation_prompt": True})
    return _continued(source, names, turns)


def _continued(source: str, names: dict[str, Any], turns: list[dict[str, Any]]) -> str:
    """The prompt up to the end of the last turn's content, without what the template puts after it."""
    content: str = turns[-1]["content"]
    if content.strip():
        marked = [*turns[:-1], {**turns[-1], "content": content + _CONTINUE}]
        rendered = render(source, {**names, "messages": marked, "add_generation_prompt": False})
        before, mark, after = rendered.rpartition(_CONTINUE.strip())
        if mark and content.strip() in before:
            return before if after.startswith(" ") else before.rstrip()
    # Nothing to continue, or the template rewrites old answers: what a new answer begins with, and the content.
    return render(source, {**names, "messages": turns[:-1], "add_generation_prompt": True}) + content


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.thinking:
        turn["reasoning_content"] = turn["thinking"] = message.thinking
    if message.tool_calls:
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_name:
        turn["name"] = message.tool_name
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": dict(call.arguments)}
    return {"type": "function", "id": call.id, "function": function}
