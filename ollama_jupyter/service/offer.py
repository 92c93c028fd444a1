"""Which tools of a request may be called, and how the model is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ollama_jupyter.grammar import describe_tools
from ollama_jupyter.messages import ChatRequest, Message, Tool
from ollama_jupyter.prompt.output import Output


@dataclass(frozen=True, slots=True)
class Offer:
    """`tools` may be called, `rendered` are those that the template gets; `told` is the text of a system turn of ours,
    for templates that have no words for tools. `must_call` says that one of them has to be called, and `in_json` that
    it is written as plain JSON, because the model has no way of its own that can be forced."""

    tools: tuple[Tool, ...] = ()
    rendered: tuple[Tool, ...] = ()
    told: str = ""
    must_call: bool = False
    in_json: bool = False

    @classmethod
    def of(cls, request: ChatRequest, able: tuple[str, ...], output: Output) -> Offer:
        """What a request offers to a model of these abilities that answers in the way of `output`.

        Where no tool may be called, the model sees none.
        """
        if not request.tools or request.tool_choice.mode == "none":
            return cls()
        must_call = request.tool_choice.mode == "required"
        if "tools" not in able:
            return cls(request.tools, (), describe_tools(request.tools), must_call, in_json=must_call)
        in_json = must_call and (output.calls is None or output.calls.arguments != "json")
        return cls(request.tools, request.tools, "", must_call, in_json)

    def add_to_system(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The conversation with what is told at the end of its first system turn, or as one of its own."""
        if not self.told:
            return tuple(messages)
        if messages and messages[0].role == "system":
            return replace(messages[0], content=f"{messages[0].content}\n\n{self.told}"), *messages[1:]
        return Message("system", self.told), *messages
