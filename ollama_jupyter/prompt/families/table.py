"""The families: the marks by which a format is known, its template, and where its answers stop.

Written from the formats as their publishers describe them. A BOS token is not part of these texts: the tokenizer adds
it where the vocabulary says so, as Ollama has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ollama_jupyter.prompt.families import texts


@dataclass(frozen=True, slots=True)
class Family:
    """A chat format.

    Args:
        name: what `create` reports, Ollama's name where it has one.
        template: in Go's language.
        stop: the `stop` parameters of its models.
        marks: fixed texts that a GGUF's own template of this format has all of.
        tools, thinking: what the template knows.
    """

    name: str
    template: str
    stop: tuple[str, ...]
    marks: tuple[str, ...]
    tools: bool = False
    thinking: bool = False


_IM = ("<|im_start|>", "<|im_end|>")
_LLAMA3 = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

FAMILIES: tuple[Family, ...] = (
    Family("chatml", texts.CHATML, _IM, _IM),
    Family("qwen2.5", texts.QWEN25, _IM, (*_IM, "<tool_call>", "Qwen"), tools=True),
    Family("qwen3", texts.QWEN3, _IM, (*_IM, "<tool_call>", "<think>"), tools=True, thinking=True),
    Family("llama3-instruct", texts.LLAMA3, _LLAMA3, _LLAMA3),
    Family("llama3.1-instruct", texts.LLAMA31, _LLAMA3, (*_LLAMA3, "ipython"), tools=True),
    Family("llama2-chat", texts.LLAMA2, ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"), ("[INST]", "<<SYS>>")),
    Family("mistral-instruct", texts.MISTRAL, ("[INST]", "[/INST]"), ("[INST]", "[/INST]")),
    Family(
        "mistral-nemo",
        texts.MISTRAL_NEMO,
        ("[INST]", "[/INST]"),
        ("[INST]", "[AVAILABLE_TOOLS]", "[TOOL_CALLS]"),
        tools=True,
    ),
    Family(
        "mistral-v7",
        texts.MISTRAL_V7,
        ("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        ("[INST]", "[SYSTEM_PROMPT]"),
    ),
    Family("gemma-instruct", texts.GEMMA, ("<start_of_turn>", "<end_of_turn>"), ("<start_of_turn>", "<end_of_turn>")),
    Family("phi-3", texts.PHI3, ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>"), ("<|end|>", "<|assistant|>")),
    Family("phi-4", texts.PHI4, ("<|im_start|>", "<|im_end|>", "<|im_sep|>"), ("<|im_start|>", "<|im_sep|>")),
    Family("zephyr", texts.ZEPHYR, ("<|system|>", "<|user|>", "<|assistant|>", "</s>"), ("<|user|>", "<|assistant|>")),
    Family("vicuna", texts.VICUNA, ("USER:", "ASSISTANT:"), ("USER:", "ASSISTANT:")),
    Family("alpaca", texts.ALPACA, ("### Instruction:", "### Response:"), ("### Instruction:", "### Response:")),
    Family(
        "openchat",
        texts.OPENCHAT,
        ("<|end_of_turn|>",),
        ("GPT4 Correct", "<|end_of_turn|>"),
    ),
    Family(
        "command-r",
        texts.COMMAND_R,
        ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
        ("<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
    ),
    Family(
        "granite-instruct",
        texts.GRANITE,
        ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"),
        ("<|start_of_role|>", "<|end_of_role|>"),
    ),
    Family("falcon-instruct", texts.FALCON, ("User:", "Falcon:"), ("User:", "Falcon:")),
    Family(
        "falcon3",
        texts.FALCON3,
        ("<|system|>", "<|user|>", "<|end|>", "<|assistant|>"),
        ("<|user|>", "<|assistant|>", "<|endoftext|>"),
    ),
    Family("deepseek", texts.DEEPSEEK, ("User:", "Assistant:"), ("User: ", "Assistant:")),
    Family(
        "deepseek-coder",
        texts.DEEPSEEK_CODER,
        ("### Instruction:", "<|EOT|>"),
        ("### Instruction:", "<|EOT|>"),
    ),
    Family(
        "deepseek-r1",
        texts.DEEPSEEK_R1,
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        ("<｜User｜>", "<｜Assistant｜>", "</think>"),
        thinking=True,
    ),
    Family("solar-instruct", texts.SOLAR, ("### User:", "### Assistant:"), ("### User:", "### Assistant:")),
    Family("glm4", texts.GLM4, ("<|system|>", "<|user|>", "<|assistant|>"), ("[gMASK]<sop>", "<|user|>")),
    Family("gpt-oss", texts.GPT_OSS, (), ("<|start|>", "<|channel|>", "<|message|>"), tools=True, thinking=True),
)


def family(name: str) -> Family:
    """The family of this name. Raises KeyError if there is none."""
    return {one.name: one for one in FAMILIES}[name]
