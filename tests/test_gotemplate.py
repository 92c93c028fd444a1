"""Our executor of Go's text/template against Go itself, and against templates that mean harm.

`golden/gotemplate.json` was written by Go 1.26's text/template (option missingkey=zero, function `json`) from
templates and data of ours. To add cases, run them through Go again.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.gotemplate import (
    JSONList,
    JSONMap,
    PropertyType,
    Struct,
    parse,
    thinking_tags,
    tool_call_tag,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "gotemplate.json").read_text("utf-8"))

# Go's words for these come from its reflection; that they fail, and where, is what counts.
OTHER_WORDS = {"{{eq .l .l}}", "{{eq .m .l}}", "{{printf 1}}", "{{(1) 2}}", "{{call}}"}


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["template"][:60])
def test_same_as_go(row: dict[str, Any]) -> None:
    source, data = row["template"], row["data"]
    if "error" in row:
        with pytest.raises(TemplateError) as refused:
            parse(source).execute(data)
        assert source in OTHER_WORDS or refused.value.message == row["error"]
    else:
        # Ollama's rule, which Go does not know: see the next test.
        appended = "" if re.search(r"\.(Response|Messages)\b", source) else data.get("Response", "<no value>")
        assert parse(source).execute(data) == row["output"] + appended


def test_response_is_appended_to_a_template_without_one() -> None:
    assert parse("a{{ .Prompt }}").execute({"Prompt": "p", "Response": "r"}) == "apr"
    assert parse("a{{ .Prompt }}{{ .Response }}b").execute({"Prompt": "p", "Response": "r"}) == "aprb"
    assert parse("{{ range .Messages }}{{ end }}").execute({"Messages": [], "Response": "r"}) == ""
    in_definition = '{{ define "x" }}{{ .Response }}{{ end }}{{ template "x" . }}'
    assert parse(in_definition).execute({"Response": "r"}) == "r"


def test_cut_after_response() -> None:
    cut = parse("a{{ .Response }}b{{ .Prompt }}").cut_after_response()
    assert cut.execute({"Prompt": "p", "Response": "r"}) == "ar"
    nested = parse("{{ if .Prompt }}x{{ .Response }}y{{ else }}n{{ end }}z").cut_after_response()
    assert nested.execute({"Prompt": "p", "Response": "r"}) == "xr"
    condition_only = parse("{{ if .Response }}c{{ end }}d{{ .Response }}e").cut_after_response()
    assert condition_only.execute({"Response": "r"}) == "cdr"


def test_variables() -> None:
    template = (
        '{{ if .Tools }}{{ end }}{{ range $i, $m := .Messages }}{{ $m.Role }}{{ end }}{{ $.System | printf "%s" }}'
    )
    assert {"tools", "messages", "$m", "role", "system", "$"} <= parse(template).variables
    assert "suffix" in parse("{{ .Prompt }}<gap>{{ .Suffix }}").variables
    assert "messages" in parse("{{ (index .Messages 0).Content }}").variables


def struct(**values: Any) -> Struct:
    return Struct("api.Thing", {name: (name.lower(), value, True) for name, value in values.items()})


def test_structs() -> None:
    data = {"T": struct(Name="n", Empty="", Args=JSONMap({"b": 1, "a": "<"})), "L": JSONList([{"x": 1}])}
    show = parse("{{ .T.Name }} {{ .T.Args }} {{ .L }} {{ json .T }} {{ range $k, $v := .T.Args }}{{ $k }}{{ end }}")
    assert show.execute({**data, "Response": ""}) == (
        'n {"a":"\\u003c","b":1} [{"x":1}] {"name":"n","args":{"a":"\\u003c","b":1}} ab'
    )
    with pytest.raises(TemplateError, match=r"can't evaluate field Nope in type api\.Thing"):
        parse("{{ .T.Nope }}").execute(data)
    assert parse("{{ if .T }}yes{{ end }}").execute({"T": struct(), "Response": ""}) == "yes"


def prop(*types: str, **more: Any) -> Struct:
    fields = {"Type": PropertyType(types), "AnyOf": [], "Items": None, **more}
    return Struct("api.ToolProperty", {name: (name, value, True) for name, value in fields.items()})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (prop("string"), "string"),
        (prop("integer"), "number"),
        (prop("string", "null"), "string | null"),
        (prop("array"), "any[]"),
        (prop("array", Items={"type": "string"}), "string[]"),
        (prop("object"), "Record<string, any>"),
        (prop(), "any"),
        (prop(AnyOf=[prop("boolean"), prop("number")]), "boolean | number"),
    ],
)
def test_typescript(value: Struct, expected: str) -> None:
    assert parse("{{ toTypeScriptType .P }}").execute({"P": value, "Response": ""}) == expected
    assert parse("{{ .P.Type }}").execute({"P": prop("string"), "Response": ""}) == "string"


def test_dates() -> None:
    text = parse('{{ currentDate }} {{ yesterdayDate "2006" }}').execute({"Response": ""})
    today, yesterday = (time.strptime(part, "%Y-%m-%d") for part in text.split())
    assert 0 < time.mktime(today) - time.mktime(yesterday) < 50 * 3600


@pytest.mark.parametrize(
    ("template", "tags"),
    [
        (
            "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}",
            ("<think>", "</think>"),
        ),
        (
            "{{ range $i, $_ := .Messages }}{{ if eq .Role `assistant` }}a{{ if .Thinking }} [T]\n{{ .Thinking }}\n"
            "[/T] {{ end }}{{ end }}{{ end }}",
            ("[T]", "[/T]"),
        ),
        ("{{ range .Messages }}{{ .Content }}{{ end }}", None),
        ("{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}", None),
        ("{{ range .Messages }}{{ if .Thinking }}{{ .Thinking }}{{ end }}{{ end }}", None),
    ],
)
def test_thinking_tags(template: str, tags: tuple[str, str] | None) -> None:
    assert thinking_tags(parse(template)) == tags


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ('{{ range .Messages }}{{ if .ToolCalls }}\n<tool_call>{"name": 1}{{ end }}{{ end }}', "<tool_call>"),
        (
            "{{ range .Messages }}{{ if .ToolCalls }}[TOOL_CALLS] [{{ range .ToolCalls }}{{ end }}]{{ end }}{{ end }}",
            "[TOOL_CALLS] [",
        ),
        ("{{ range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls }}{ {{ end }}{{ end }}{{ end }}", "{"),
        ("{{ .Prompt }}", "{"),
    ],
)
def test_tool_call_tag(template: str, tag: str) -> None:
    assert tool_call_tag(parse(template)) == tag


# ---- harm

HOSTILE = {
    "huge range": "{{ range 1000000000000 }}{{ end }}",
    "nested loops": "{{ range 100000 }}{{ range 100000 }}x{{ end }}{{ end }}",
    "recursion": '{{ define "r" }}{{ template "r" . }}{{ end }}{{ template "r" . }}',
    "doubling": "{{ $s := `aaaaaaaa` }}{{ range 60 }}{{ $s = print $s $s }}{{ end }}{{ $s }}",
    "doubling calls": "".join(
        f'{{{{ define "g{i}" }}}}{{{{ template "g{i + 1}" . }}}}{{{{ template "g{i + 1}" . }}}}{{{{ end }}}}'
        for i in range(60)
    )
    + '{{ define "g60" }}x{{ end }}{{ template "g0" . }}',
    "output": "{{ range 100000 }}{{ $.Long }}{{ end }}",
    "json again and again": "{{ range 100000 }}{{ $x := json $.Long }}{{ end }}",
    "comparing": "{{ range 1000000 }}{{ if eq $.Long $.Other }}{{ end }}{{ end }}",
    "measuring": "{{ range 1000000 }}{{ $x := len $.Long }}{{ end }}",
    "parentheses": "{{" + "(" * 100_000 + "1" + ")" * 100_000 + "}}",
    "conditions": "{{ if .x }}" * 5_000 + "{{ end }}" * 5_000,
    "source": "x" * 1_000_000,
    "variables": "".join(f"{{{{ $x{i} := 1 }}}}" for i in range(2_000)),
    "attributes": "{{ .Long.__class__ }}",
    "attributes of a result": "{{ (print 1).__class__.__mro__ }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused_fast(name: str) -> None:
    data = {"Long": "é" * 500_000, "Other": "é" * 499_999 + "e", "Response": ""}
    began = time.monotonic()
    with pytest.raises(TemplateError):
        parse(HOSTILE[name]).execute(data)
    assert time.monotonic() - began < 10


def test_widths_are_capped() -> None:
    made = parse("{{ printf `%1000000000d` 1 }}{{ printf `%.1000000000f` 1.0 }}").execute({"Response": ""})
    assert len(made) < 5_000


def test_python_attributes_are_no_fields() -> None:
    data = {"Response": "", "M": {"a": 1}}
    assert parse("{{ .__class__ }} {{ .M.items }} {{ .M.__len__ }}").execute(data) == "<no value> <no value> <no value>"


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_renders_as_itself(text: str) -> None:
    assert parse(text).execute({"Response": ""}) == text


_PIECES = st.sampled_from(
    [
        *("{{", "}}", "{{-", "-}}", " ", "\n", ".", ".A", "$", "$x", ":=", "=", "|", "(", ")", '"', "`", "'", ","),
        *("if", "else", "end", "range", "with", "define", "template", "block", "break", "/*", "*/", "1", "-", "nil"),
        *("true", "print"),
    ]
)


def outcome(source: str) -> str:
    try:
        return "rendered " + parse(source).execute({"A": [1, 2], "Response": ""})
    except TemplateError as error:
        return error.message


@given(st.lists(_PIECES, max_size=30).map("".join) | st.text())
def test_any_text_renders_or_says_why(source: str) -> None:
    assert outcome(source).startswith(("rendered ", "template: ", "template took ", "template makes "))
