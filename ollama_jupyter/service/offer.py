"""Which tools of a request may be called, and how the model is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ollama_jupyter.grammar import describe_tools
from ollama_jupyter.messages import ChatRequest, Message, Tool


@dataclass(frozen=True, slots=True)
class Offer:
    """`tools` may be called, `rendered` are those that the template gets; `told` is the text of a system turn of ours,
    for templates that have no words for tools."""

    tools: tuple[Tool, ...] = ()
    rendered: tuple[Tool, ...] = ()
    told: str = ""

    @classmethod
    def of(cls, request: ChatRequest, able: tuple[str, ...]) -> Offer:
        """What a request offers to a model with these abilities. Where no tool may be called, the model sees none."""
        if not request.tools or request.tool_choice.mode == "none":
            return cls()
        if "tools" in able:
            return cls(request.tools, request.tools)
        return cls(request.tools, told=describe_tools(request.tools))

    def add_to_system(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The conversation with what is told at the end of its first system turn, or as one of its own."""
        if not self.told:
            return tuple(messages)
        if messages and messages[0].role == "system":
            return replace(messages[0], content=f"{messages[0].content}\n\n{self.told}"), *messages[1:]
        return Message("system", self.told), *messages
