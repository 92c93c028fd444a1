"""LFM2: ChatML with a list of tools and calls in Python's syntax. After its published chat templates and model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers.common import Render, Think, function_of, split_system, tojson


def lfm2(*, thinks: bool = False) -> Render:
    """LFM2, or with `thinks` the models that think, whose earlier thoughts are left out."""

    def render(messages: Sequence[Message], tools: Sequence[Any], think: Think) -> str:
        system, rest = split_system(messages)
        if tools:
            listed = ", ".join(tojson(function_of(tool)) for tool in tools)
            system += ("\n" if system else "") + f"List of tools: <|tool_list_start|>[{listed}]<|tool_list_end|>"
        head = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
        body = "".join(_turn(message, forget=thinks) for message in rest)
        return "<|startoftext|>" + head + body + "<|im_start|>assistant\n"

    return render


def _turn(message: Message, *, forget: bool) -> str:
    content = message.content
    if message.role == "tool":
        content = f"<|tool_response_start|>{content}<|tool_response_end|>"
    elif message.role == "assistant":
        content = content.split("</think>")[-1].strip() if forget and "</think>" in content else content
        calls = ", ".join(map(_call, message.tool_calls))
        content += f"<|tool_call_start|>[{calls}]<|tool_call_end|>" if calls else ""
    return f"<|im_start|>{message.role}\n{content}<|im_end|>\n"


def _call(call: ToolCall) -> str:
    return f"{call.name}({', '.join(f'{name}={tojson(value)}' for name, value in call.arguments.items())})"
