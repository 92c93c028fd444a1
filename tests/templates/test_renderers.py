"""Builtin renderers where no published template stands beside them, and what all of them have in common."""

from __future__ import annotations

from typing import Any

import pytest
from dialogues import DIALOGUES, TOOLS

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.renderers import names
from ollama_jupyter.prompt.select import choose

S, U, A = (lambda text, role=role: Message(role, text) for role in ("system", "user", "assistant"))
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get weather",
        "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
    },
}
TRIP = [
    U("Weather?"),
    Message("assistant", "", tool_calls=(ToolCall("get_weather", {"city": "Paris"}),)),
    Message("tool", "Sunny"),
]
BOS = "<｜begin▁of▁sentence｜>"
COGITO = "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research lab based in San Francisco."
OLMO = "<|im_start|>system\nYou are a helpful function-calling AI assistant. "
DECLARED = (
    "You can do function calling with the following functions:<start_function_declaration>declaration:get_weather"
    "{description:<escape>Get weather<escape>,parameters:{properties:{city:{description:<escape><escape>,"
    "type:<escape>STRING<escape>}},required:[<escape>city<escape>],type:<escape>OBJECT<escape>}}"
    "<end_function_declaration>"
)


def prompt(renderer: str, messages: list[Message], tools: list[Any] | None = None, **more: Any) -> str:
    return choose(template=None, chat_template=None, renderer=renderer).chat(messages, tools=tools or [], **more).text


@pytest.mark.parametrize(
    ("renderer", "messages", "more", "expected"),
    [
        ("cogito", [S("s"), U("u")], {}, f"{BOS}{COGITO}\n\ns<｜User｜>u<｜Assistant｜>"),
        (
            "cogito",
            [S("s"), U("u")],
            {"think": True},
            f"{BOS}Enable deep thinking subroutine.\n\n{COGITO}\n\ns\n\n<｜User｜>u<｜Assistant｜><think>\n",
        ),
        (
            "cogito",
            TRIP,
            {},
            f"{BOS}{COGITO}<｜User｜>Weather?<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>"
            'get_weather\n```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>'
            "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>Sunny<｜tool▁output▁end｜><｜tool▁outputs▁end｜><｜Assistant｜>",
        ),
        (
            "olmo3",
            TRIP,
            {},
            f"{OLMO}You do not currently have access to any functions. <functions></functions><|im_end|>\n"
            "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n<function_calls>"
            'get_weather(city="Paris")</function_calls><|im_end|>\n<|im_start|>environment\nSunny<|im_end|>\n'
            "<|im_start|>assistant\n",
        ),
        (
            "olmo3-think",
            [S("s"), U("u")],
            {"think": True},
            "<|im_start|>system\ns You do not currently have access to any functions. <functions></functions>"
            "<|im_end|>\n"
            "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>",
        ),
        (
            "olmo3-32b-think",
            [U("u")],
            {},
            "<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n<|im_start|>user\nu<|im_end|>\n"
            "<|im_start|>assistant\n<think>",
        ),
        (
            "functiongemma",
            [S("s"), *TRIP],
            {"tools": [TOOL]},
            f"<bos><start_of_turn>developer\ns\n{DECLARED}<end_of_turn>\n<start_of_turn>user\nWeather?<end_of_turn>\n"
            "<start_of_turn>model\n<start_function_call>call:get_weather{city:<escape>Paris<escape>}<end_function_call>"
            "<start_function_response>response:get_weather{<escape>Sunny<escape>}<end_function_response>",
        ),
        (
            "functiongemma",
            [U("Hi"), A("Hello!"), U("More")],
            {},
            "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
            "<start_of_turn>user\nMore<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            "gemma4-small",
            [S("s"), U("u")],
            {"think": True},
            "<bos><|turn>system\n<|think|>\ns<turn|>\n<|turn>user\nu<turn|>\n<|turn>model\n",
        ),
        ("gemma4-small", [U("u")], {"think": False}, "<bos><|turn>user\nu<turn|>\n<|turn>model\n"),
        (
            "gemma4-large",
            [U("u")],
            {"think": False},
            "<bos><|turn>user\nu<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
        ),
        (
            "lfm2-thinking",
            [U("q"), A("<think>a</think>b"), U("r")],
            {"think": True},
            "<|startoftext|><|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
            "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "qwen3-vl-thinking",
            [U("q"), Message("assistant", "a", thinking="t"), U("r")],
            {"think": True},
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nr<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n",
        ),
        (
            "cohere",
            [U("Q")],
            {"think": False},
            "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|><|START_TEXT|># Available Tools\n```json\n[\n\n\n\n]"
            "\n```<|END_TEXT|><|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|><|START_TEXT|>Q<|END_TEXT|>"
            "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_THINKING|><|END_THINKING|>",
        ),
    ],
)
def test_prompt(renderer: str, messages: list[Message], more: dict[str, Any], expected: str) -> None:
    assert prompt(renderer, messages, **more) == expected


@pytest.mark.parametrize("renderer", names())
@pytest.mark.parametrize("think", [None, True, False, "low"])
def test_every_renderer_shows_what_was_said(renderer: str, think: bool | str | None) -> None:
    text = prompt(renderer, DIALOGUES["tools"], TOOLS, think=think)
    assert "You know the weather." in text
    assert "What about tomorrow?" in text
    if "-think" not in renderer or not renderer.startswith("olmo3"):
        assert text.count("sunny, 21 °C") == 1
        assert "Köln <am Rhein>" in text
        assert "The city's name" in text


@pytest.mark.parametrize("renderer", names())
def test_a_trailing_answer_is_continued(renderer: str) -> None:
    text = prompt(renderer, [U("Count"), A("One, two,")], think=True)
    assert text.endswith("One, two,")
    assert prompt(renderer, [U("Count"), Message("assistant", "", thinking="Well")], think=True).endswith("Well")


@pytest.mark.parametrize(
    ("model", "parameters", "thought"),
    [
        ("gemma4", 5_000_000_000, False),
        ("gemma4", 31_000_000_000, True),
        ("gemma4-26b", 0, True),
        ("my", 12 * 10**9, True),
    ],
)
def test_gemma4_is_large_by_name_or_size(model: str, parameters: int, thought: bool) -> None:
    renderer = choose(template=None, chat_template=None, renderer="gemma4", name=model, parameters=parameters)
    assert renderer.chat([U("u")]).text.endswith("<channel|>") == thought


@pytest.mark.parametrize("renderer", names())
@pytest.mark.parametrize(
    "tool",
    [{}, {"function": 1}, {"function": {"name": "f", "parameters": {"properties": {"a": 1}}}}, "text", None],
)
def test_tools_of_another_shape_are_refused_or_shown(renderer: str, tool: Any) -> None:
    try:
        text = prompt(renderer, [U("said")], [tool])
    except TemplateError:
        pass
    else:
        assert "said" in text


def test_a_text_without_end_is_refused() -> None:
    with pytest.raises(TemplateError, match="more than"):
        prompt("qwen3-coder", [U("x" * 5_000_000)])
