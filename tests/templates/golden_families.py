"""The families of `golden/prompts.json`: where each template is published, and what of ours stands beside it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Published:
    """A family's template: `source` is a file of llama.cpp's `models/templates`, or an entry of its
    `test-chat-template.cpp`.

    `go` and `renderer` name our built-in template and renderer of the same format. `differs` says, by dialogue, why
    they write something else on purpose. Dialogues in `without` are refused by the template, or it has no tools.
    """

    source: str
    go: str = ""
    renderer: str = ""
    bos: str = "<s>"
    eos: str = "</s>"
    differs: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


_NO_TOOLS = ("tools",)
_SYSTEM_MERGED = "the template drops or refuses system messages; here they open the first user turn"
_COMPACT = "Go writes JSON without blanks, with sorted keys and HTML characters escaped"
_END = "<｜end▁of▁sentence｜>"
_DEEPSEEK = "<｜begin▁of▁sentence｜>"

PUBLISHED: dict[str, Published] = {
    "chatml": Published("teknium/OpenHermes-2.5-Mistral-7B", go="chatml", without=_NO_TOOLS),
    "llama3": Published("Llama-3", go="llama3-instruct", bos="<|begin_of_text|>", without=_NO_TOOLS),
    "llama3.1": Published(
        "meta-llama-Llama-3.1-8B-Instruct.jinja",
        go="llama3.1-instruct",
        bos="<|begin_of_text|>",
        differs={
            "system": "today's date for a fixed one",
            "turns": "no system block where there is no system message",
            "tools": f"today's date; {_COMPACT}",
        },
    ),
    "llama3.2": Published("meta-llama-Llama-3.2-3B-Instruct.jinja", bos="<|begin_of_text|>"),
    "llama2": Published(
        "TheBloke/FusionNet_34Bx2_MoE-AWQ",
        go="llama2-chat",
        differs={
            "system": "published without a BOS of its own in front of the first turn, and with a line end behind each",
            "turns": "the published template opens no first turn without a system message",
        },
        without=_NO_TOOLS,
    ),
    "mistral-v1": Published(
        "mistralai/Mistral-7B-Instruct-v0.2 (NOTE: Old pre-v1 without a system prompt)",
        go="mistral-instruct",
        differs={"system": _SYSTEM_MERGED},
        without=_NO_TOOLS,
    ),
    "mistral-v7": Published(
        "mistralai/Mistral-Large-Instruct-2411 (mistralai 'v7' template)", go="mistral-v7", without=_NO_TOOLS
    ),
    "mistral-nemo": Published(
        "mistralai-Mistral-Nemo-Instruct-2407.jinja", go="mistral-nemo", differs={"tools": _COMPACT}
    ),
    "mistral-small-3.2": Published("Mistral-Small-3.2-24B-Instruct-2506.jinja"),
    "gemma": Published(
        "google/gemma-7b-it", go="gemma-instruct", differs={"system": _SYSTEM_MERGED}, without=_NO_TOOLS
    ),
    "gemma2": Published(
        "google-gemma-2-2b-it.jinja",
        go="gemma-instruct",
        bos="<bos>",
        differs={"system": _SYSTEM_MERGED},
        without=_NO_TOOLS,
    ),
    "gemma4": Published("google-gemma-4-31B-it.jinja", renderer="gemma4-large", bos="<bos>"),
    "phi3.5": Published("microsoft-Phi-3.5-mini-instruct.jinja", go="phi-3", without=_NO_TOOLS),
    "phi4": Published("phi-4", go="phi-4", without=_NO_TOOLS),
    "vicuna": Published("eachadea/vicuna-13b-1.1", go="vicuna", without=_NO_TOOLS),
    "openchat": Published("openchat/openchat-3.5-0106", go="openchat", without=_NO_TOOLS),
    "deepseek-coder": Published(
        "deepseek-ai/deepseek-coder-33b-instruct", go="deepseek-coder", bos=_DEEPSEEK, without=_NO_TOOLS
    ),
    "deepseek-v2": Published("DeepSeek-V2", go="deepseek", bos=_DEEPSEEK, eos=_END, without=_NO_TOOLS),
    "deepseek-r1": Published(
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja",
        go="deepseek-r1",
        bos=_DEEPSEEK,
        eos=_END,
        differs={
            "tools": "the built-in template knows no tools",
        },
    ),
    "deepseek-v3.1": Published(
        "deepseek-ai-DeepSeek-V3.1.jinja",
        renderer="deepseek3.1",
        bos=_DEEPSEEK,
        eos=_END,
        differs={"tools": "the published template leaves out the offered tools, the model card describes them"},
    ),
    "command-r": Published("CohereForAI/c4ai-command-r-plus", go="command-r", bos="<BOS_TOKEN>", without=_NO_TOOLS),
    "command-r7b": Published("CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja", bos="<BOS_TOKEN>"),
    "cohere": Published(
        "Cohere2MoE.jinja",
        renderer="cohere",
        bos="<BOS_TOKEN>",
        differs=dict.fromkeys(
            ("system", "turns", "tools"), "without the published name and rules of one model in the system turn"
        ),
    ),
    "granite3.0": Published(
        "ibm-granite/granite-3.0-8b-instruct", go="granite-instruct", differs={"tools": "knows no tools"}
    ),
    "granite3.3": Published("ibm-granite-granite-3.3-2B-Instruct.jinja"),
    "qwen2.5": Published("Qwen-Qwen2.5-7B-Instruct.jinja", go="qwen2.5", differs={"tools": _COMPACT}),
    "qwen3": Published("Qwen-Qwen3-0.6B.jinja", go="qwen3", renderer="qwen3-vl-instruct", differs={"tools": _COMPACT}),
    "qwen3-coder": Published("Qwen3-Coder.jinja", renderer="qwen3-coder"),
    "qwen3.5": Published("Qwen3.5-4B.jinja", renderer="qwen3.5"),
    "glm4.7": Published("GLM-4.7-Flash.jinja", renderer="glm-4.7", bos=""),
    "lfm2": Published(
        "LFM2-8B-A1B.jinja",
        renderer="lfm2",
        bos="<|startoftext|>",
        differs={"tools": "calls of earlier turns are shown; tools without their shell, as the model card has them"},
    ),
    "gpt-oss": Published(
        "openai-gpt-oss-120b.jinja",
        go="gpt-oss",
        bos="",
        differs={"tools": "arguments' types on lines of their own, sorted; " + _COMPACT},
    ),
    "hermes3": Published("NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja", without=("system", "turns")),
    "smollm3": Published("HuggingFaceTB-SmolLM3-3B.jinja"),
    "nemotron-nano2": Published("NVIDIA-Nemotron-Nano-v2.jinja"),
    "seed-oss": Published("ByteDance-Seed-OSS.jinja"),
}
