"""The families: the marks by which a format is known, its template, and where its answers stop.

The templates are files in `templates/`, by the family's name, written from the formats as their publishers describe
them. A BOS token is not part of them: the tokenizer adds it where the vocabulary says so, as Ollama has it. A trailing
answer is left open, so that the model continues it, but for `chatml`, which is Ollama's text, word for word.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Family:
    """A chat format.

    Args:
        name: what `create` reports, Ollama's name where it has one.
        stop: the `stop` parameters of its models.
        marks: fixed texts that a GGUF's own template of this format has all of.
        tools, thinking: what the template knows.
    """

    name: str
    stop: tuple[str, ...]
    marks: tuple[str, ...]
    tools: bool = False
    thinking: bool = False

    @property
    def template(self) -> str:
        """Its text in Go's language."""
        return _text(self.name)


@lru_cache
def _text(name: str) -> str:
    return (Path(__file__).parent / "templates" / f"{name}.gotmpl").read_text("utf-8")


_IM = ("<|im_start|>", "<|im_end|>")
_LLAMA3 = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

FAMILIES: tuple[Family, ...] = (
    Family("chatml", _IM, _IM),
    Family("qwen2.5", _IM, (*_IM, "<tool_call>", "Qwen"), tools=True),
    Family("qwen3", _IM, (*_IM, "<tool_call>", "<think>"), tools=True, thinking=True),
    Family("llama3-instruct", _LLAMA3, _LLAMA3),
    Family("llama3.1-instruct", _LLAMA3, (*_LLAMA3, "ipython"), tools=True),
    Family("llama2-chat", ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"), ("[INST]", "<<SYS>>")),
    Family("mistral-instruct", ("[INST]", "[/INST]"), ("[INST]", "[/INST]")),
    Family(
        "mistral-nemo",
        ("[INST]", "[/INST]"),
        ("[INST]", "[AVAILABLE_TOOLS]", "[TOOL_CALLS]"),
        tools=True,
    ),
    Family(
        "mistral-v7",
        ("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        ("[INST]", "[SYSTEM_PROMPT]"),
    ),
    Family("gemma-instruct", ("<start_of_turn>", "<end_of_turn>"), ("<start_of_turn>", "<end_of_turn>")),
    Family("phi-3", ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>"), ("<|end|>", "<|assistant|>")),
    Family("phi-4", ("<|im_start|>", "<|im_end|>", "<|im_sep|>"), ("<|im_start|>", "<|im_sep|>")),
    Family("zephyr", ("<|system|>", "<|user|>", "<|assistant|>", "</s>"), ("<|user|>", "<|assistant|>")),
    Family("vicuna", ("USER:", "ASSISTANT:"), ("USER:", "ASSISTANT:")),
    Family("alpaca", ("### Instruction:", "### Response:"), ("### Instruction:", "### Response:")),
    Family(
        "openchat",
        ("<|end_of_turn|>",),
        ("GPT4 Correct", "<|end_of_turn|>"),
    ),
    Family(
        "command-r",
        ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
        ("<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
    ),
    Family(
        "granite-instruct",
        ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"),
        ("<|start_of_role|>", "<|end_of_role|>"),
    ),
    Family("falcon-instruct", ("User:", "Falcon:"), ("User:", "Falcon:")),
    Family(
        "falcon3",
        ("<|system|>", "<|user|>", "<|end|>", "<|assistant|>"),
        ("<|user|>", "<|assistant|>", "<|endoftext|>"),
    ),
    Family("deepseek", ("User:", "Assistant:"), ("User: ", "Assistant:")),
    Family(
        "deepseek-coder",
        ("### Instruction:", "<|EOT|>"),
        ("### Instruction:", "<|EOT|>"),
    ),
    Family(
        "deepseek-r1",
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        ("<｜User｜>", "<｜Assistant｜>", "</think>"),
        thinking=True,
    ),
    Family("solar-instruct", ("### User:", "### Assistant:"), ("### User:", "### Assistant:")),
    Family("glm4", ("<|system|>", "<|user|>", "<|assistant|>"), ("[gMASK]<sop>", "<|user|>")),
    Family("gpt-oss", (), ("<|start|>", "<|channel|>", "<|message|>"), tools=True, thinking=True),
)


def family(name: str) -> Family:
    """The family of this name. Raises KeyError if there is none."""
    return {one.name: one for one in FAMILIES}[name]
