"""How a model answers, as its template shows it, and what the named parsers can do."""

from __future__ import annotations

import pytest
from answers import parse

from ollama_jupyter.prompt.output import PLAIN, Thinking, output_for, parser_capabilities
from ollama_jupyter.prompt.parsers import names
from ollama_jupyter.prompt.select import capabilities, choose

GO = "{{ range .Messages }}{{ if .Thinking }}<t>{{ .Thinking }}</t>{{ end }}%s{{ end }}{{ .Tools }}"
CALL = ("get_weather", {"city": "x"})
JSON = '{"name": "get_weather", "arguments": {"city": "x"}}'


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ("{{ if .ToolCalls }}<call>{{ range .ToolCalls }}{}{{ end }}{{ end }}", f"<call>{JSON}"),
        ("{{ if .ToolCalls }}[CALLS] [{{ range .ToolCalls }}{}{{ end }}]{{ end }}", f"[CALLS] [{JSON}]"),
        ("{{ if .ToolCalls }}{{ range .ToolCalls }}{}{{ end }}{{ end }}", JSON),
        ("{{ if .ToolCalls }}<tool_call>{}</tool_call>{{ end }}", f"<tool_call>{JSON}</tool_call>"),
        ("", JSON),
    ],
)
def test_tags_of_a_go_template(calls: str, text: str) -> None:
    found = output_for(parser="", kind="go", source=GO % calls)
    assert found.thinking == Thinking("<t>", "</t>")
    assert parse(found, [f"<t>hm</t>{text}"]) == [("thinking", "hm"), CALL]


def test_a_template_without_tools_or_thinking_is_plain_text() -> None:
    text = f"<think>a</think>{JSON}"
    for kind, source in (("go", "{{ .Prompt }}"), ("jinja", "{{ messages }}"), ("go", "{{ broken"), ("jinja", None)):
        found = output_for(parser="unknown", kind=kind, source=source)  # type: ignore[arg-type]
        assert parse(found, [text]) == [("text", text)]
    assert output_for(parser="", kind="jinja", source=None) is PLAIN


@pytest.mark.parametrize("name", names())
def test_a_named_parser_says_what_it_can(name: str) -> None:
    found = output_for(parser=name, kind="go", source="{{ .Prompt }}")
    able = parser_capabilities(name)
    assert found.name == name
    assert ("thinking" in able) == (found.thinking is not None)
    if found.calls is not None:
        assert "tools" in able
        assert found.calls.trigger
        assert (found.calls.before + found.calls.begin).startswith(found.calls.trigger)
        assert "{name}" in found.calls.begin
    every = capabilities(template="{{ .Prompt }}", chat_template=None, native=False, parser=name)
    assert set(able) <= set(every)


def test_an_unknown_parser_can_nothing() -> None:
    assert parser_capabilities("laguna") == ()


def test_gpt_oss_answers_in_harmony_by_either_template() -> None:
    source = "<|start|>x<|end|>{{ messages }}"
    for given in ({"template": source, "chat_template": None}, {"template": None, "chat_template": source}):
        assert choose(**given, family="gptoss").output.name == "harmony"
        assert choose(**given, family="llama").output.name != "harmony"
