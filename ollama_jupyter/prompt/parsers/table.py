"""The named parsers, and the formats that templates show: how each writes thinking and calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ollama_jupyter.prompt.output import JSON_CALLS, CallSyntax, Output, Parser, Setup, Thinking
from ollama_jupyter.prompt.parsers import harmony
from ollama_jupyter.prompt.parsers.bodies import gemma_calls, glm_calls, named_json, python_calls, xml_calls
from ollama_jupyter.prompt.parsers.calls import Calls, CallSplitter
from ollama_jupyter.prompt.split import Chain, ThinkingSplitter

THINK = Thinking("<think>", "</think>")

# ---- calls ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Format:
    """Calls as a parser reads them, and as a grammar writes them; None where no grammar can."""

    calls: Calls
    syntax: CallSyntax | None = None


def _json(begin: str, key: str = "arguments") -> str:
    return f'{begin}{{"name": "{{name}}", "{key}": '


HERMES = Format(
    Calls(("<tool_call>",), "</tool_call>"),
    CallSyntax("<tool_call>", _json("<tool_call>\n"), "}\n</tool_call>", between="\n"),
)
_XML_CALLS = Calls(
    ("<tool_call>",), "</tool_call>", xml_calls, bodies=(("<function=", "</function>"),), strays=("</tool_call>",)
)
XML = Format(
    _XML_CALLS,
    CallSyntax(
        "<tool_call>", "<tool_call>\n<function={name}>\n", "</function>\n</tool_call>", between="\n", arguments="xml"
    ),
)
SEED = Format(Calls(("<seed:tool_call>",), "</seed:tool_call>", xml_calls))
GLM = Format(Calls(("<tool_call>",), "</tool_call>", glm_calls))
BARE = Format(Calls(bare=True), JSON_CALLS.calls)
LLAMA3 = Format(
    Calls(("<|python_tag|>",), bare=True), CallSyntax('{"name": "', _json("", "parameters"), "}", between="; ")
)
MISTRAL = Format(
    Calls(("[TOOL_CALLS]",)),
    CallSyntax("[TOOL_CALLS]", _json(""), "}", before="[TOOL_CALLS][", between=", ", after="]"),
)
MINISTRAL = Format(Calls(("[TOOL_CALLS]",)), CallSyntax("[TOOL_CALLS]", "[TOOL_CALLS]{name}[ARGS]", ""))
GRANITE = Format(
    Calls(("<|tool_call|>",), silent=("<|/tool_call|>",)),
    CallSyntax("<|tool_call|>", _json(""), "}", before="<|tool_call|>[", between=", ", after="]"),
)
NEMOTRON = Format(
    Calls(("<TOOLCALL>",), "</TOOLCALL>"),
    CallSyntax("<TOOLCALL>", _json(""), "}", before="<TOOLCALL>[", between=", ", after="]</TOOLCALL>"),
)
_DS = (
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
)
_DEEPSEEK_CALLS = Calls((_DS[2],), _DS[4], named_json(_DS[3]), silent=_DS[:2])
DEEPSEEK = Format(
    _DEEPSEEK_CALLS,
    CallSyntax(_DS[0], f"{_DS[2]}{{name}}{_DS[3]}", _DS[4], before=_DS[0], after=_DS[1]),
)
DEEPSEEK_R1 = Format(
    _DEEPSEEK_CALLS,
    CallSyntax(
        _DS[0],
        f"{_DS[2]}function{_DS[3]}{{name}}\n```json\n",
        f"\n```{_DS[4]}",
        before=_DS[0],
        between="\n",
        after=_DS[1],
    ),
)
KIMI = Format(
    Calls(
        ("<|tool_call_begin|>",),
        "<|tool_call_end|>",
        named_json("<|tool_call_argument_begin|>"),
        silent=("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    )
)
_NO_THOUGHT = ("<|channel>thought\n<channel|>", "<channel|>")  # which the model sometimes adds to its answer
GEMMA4 = Format(Calls(("<|tool_call>",), "<tool_call|>", gemma_calls('<|"|>'), silent=_NO_THOUGHT))
COMMAND_R = Format(Calls(("Action:\n```json", "Action: ```json"), "```"))
FUNCTIONGEMMA = Format(Calls(("<start_function_call>",), "<end_function_call>", gemma_calls("<escape>")))
LFM2 = Format(
    Calls(("<|tool_call_start|>",), "<|tool_call_end|>", python_calls),
    CallSyntax(
        "<|tool_call_start|>",
        "{name}(",
        ")",
        before="<|tool_call_start|>[",
        between=", ",
        after="]<|tool_call_end|>",
        arguments="python",
    ),
)
OLMO3 = Format(
    Calls(("<function_calls>",), "</function_calls>", python_calls),
    CallSyntax(
        "<function_calls>",
        "{name}(",
        ")",
        before="<function_calls>",
        between="\n",
        after="</function_calls>",
        arguments="python",
    ),
)
COHERE = Format(
    Calls(
        ("<|START_ACTION|>",),
        "<|END_ACTION|>",
        silent=("<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ),
    CallSyntax(
        "<|START_ACTION|>",
        '{"tool_call_id": "0", "tool_name": "{name}", "parameters": ',
        "}",
        before="<|START_ACTION|>[\n    ",
        between=",\n    ",
        after="\n]<|END_ACTION|>",
    ),
)
NONE = Format(Calls())


def tagged(tag: str) -> Format:
    """JSON behind a tag that a template shows."""
    return Format(Calls((tag,)), CallSyntax(tag, _json(tag), "}", between="\n"))


_ENDS_THINKING = ("<tool_call>",)
"""Qwen's calls, which may begin before the thinking was closed. Of other families they are only spoken of there."""

# ---- outputs --------------------------------------------------------------------------------------------------------


def output(name: str, form: Format = NONE, thinking: Thinking | None = None) -> Output:
    """How one kind of model answers."""

    def make(setup: Setup) -> Parser:
        splitter = CallSplitter(form.calls, setup.tools)
        if thinking is None:
            return splitter
        opened = setup.prompt.rstrip().endswith(thinking.open.rstrip())
        ends = [tag for tag in form.calls.begin if setup.tools and tag in _ENDS_THINKING]
        return Chain(ThinkingSplitter(thinking, opened=opened, wanted=setup.think, ends=ends), splitter)

    untagged = [tag for pair in form.calls.bodies for tag in pair]
    tags = (*form.calls.begin, form.calls.end, *form.calls.silent, *untagged, *form.calls.strays)
    spelled = (thinking.open.strip(), thinking.close.strip(), *tags) if thinking else tags
    return Output(name, make, thinking, form.syntax, tuple(dict.fromkeys(tag for tag in spelled if tag)))


def _harmony() -> Output:
    return Output("harmony", harmony.Harmony, Thinking("<|channel|>analysis<|message|>", "<|end|>"), None, harmony.TAGS)


_CHANNEL = Thinking("<|channel>thought", "<channel|>")
_NAMED: dict[str, Callable[[], Output]] = {
    "passthrough": lambda: output("passthrough"),
    "qwen3": lambda: output("qwen3", HERMES, THINK),
    "qwen3-thinking": lambda: output("qwen3-thinking", HERMES, THINK),
    "qwen3.5": lambda: output("qwen3.5", XML, THINK),
    "qwen3-coder": lambda: output("qwen3-coder", XML),
    "qwen3-vl-instruct": lambda: output("qwen3-vl-instruct", HERMES),
    "qwen3-vl-thinking": lambda: output("qwen3-vl-thinking", HERMES, THINK),
    "ministral": lambda: output("ministral", MINISTRAL, Thinking("[THINK]", "[/THINK]")),
    "harmony": _harmony,
    "cogito": lambda: output("cogito", DEEPSEEK_R1, THINK),
    "deepseek3": lambda: output("deepseek3", DEEPSEEK, THINK),
    "olmo3": lambda: output("olmo3", OLMO3),
    "olmo3-think": lambda: output("olmo3-think", NONE, THINK),
    "functiongemma": lambda: output("functiongemma", FUNCTIONGEMMA),
    "glm-4.7": lambda: output("glm-4.7", GLM, THINK),
    "gemma4": lambda: output("gemma4", GEMMA4, _CHANNEL),
    "gemma4-no-thinking": lambda: output("gemma4-no-thinking", GEMMA4),
    "lfm2": lambda: output("lfm2", LFM2),
    "lfm2-thinking": lambda: output("lfm2-thinking", LFM2, THINK),
    "cohere": lambda: output("cohere", COHERE, Thinking("<|START_THINKING|>", "<|END_THINKING|>")),
}


def names() -> tuple[str, ...]:
    """The parsers that are done."""
    return tuple(_NAMED)


def named(name: str) -> Output | None:
    make = _NAMED.get(name)
    return make() if make else None


def capabilities(name: str) -> tuple[str, ...]:
    found = named(name)
    if found is None:
        return ()
    tools = name == "harmony" or name not in ("passthrough", "olmo3-think")
    return ("tools",) * tools + ("thinking",) * bool(found.thinking)


# ---- what templates show --------------------------------------------------------------------------------------------

_SHOWN: Sequence[tuple[tuple[str, ...], Format]] = (
    (("<seed:tool_call>",), SEED),
    (("<function=", "<parameter="), XML),
    (("<arg_key>",), GLM),
    (("<｜tool▁calls▁begin｜>", "```json"), DEEPSEEK_R1),
    (("<｜tool▁calls▁begin｜>",), DEEPSEEK),
    (("<|tool_call_begin|>", "<|tool_call_argument_begin|>"), KIMI),
    (("<start_function_call>",), FUNCTIONGEMMA),
    (("<|tool_call>",), GEMMA4),
    (("<|tool_list_start|>",), LFM2),
    (("<|tool_call_start|>",), LFM2),
    (("<function_calls>",), OLMO3),
    (("<|START_ACTION|>",), COHERE),
    (("[TOOL_CALLS]", "[ARGS]"), MINISTRAL),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<TOOLCALL>",), NEMOTRON),
    (("<tool_call>",), HERMES),
    (("<|tool_call|>",), GRANITE),
    (("<|python_tag|>",), LLAMA3),
    (("ipython", '"parameters": '), LLAMA3),
    (("Action:", "```json", "tool_name"), COMMAND_R),
)
_THOUGHTS = (
    THINK,
    Thinking("<seed:think>", "</seed:think>"),
    Thinking("[THINK]", "[/THINK]"),
    Thinking("<|START_THINKING|>", "<|END_THINKING|>"),
    _CHANNEL,
)


def calls_shown(source: str) -> Format | None:
    """How a template of any language writes calls, by the tags in it."""
    return next((form for marks, form in _SHOWN if all(mark in source for mark in marks)), None)


def thinking_shown(source: str) -> Thinking | None:
    shown = (tags for tags in _THOUGHTS if tags.open.strip() in source and tags.close in source)
    return next(shown, None)


def json_parser(setup: Setup) -> Parser:
    """Reads bare JSON calls."""
    return CallSplitter(BARE.calls, setup.tools)
