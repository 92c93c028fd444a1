"""Conversations in the shape that a template takes: images, ids of calls, system messages, parts, JSON texts, gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from models import tiny_vocabulary, write_tiny_gguf

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.gguf import read_header
from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.conversation import linked
from ollama_jupyter.prompt.identifiers import identifiers
from ollama_jupyter.prompt.images import place_images
from ollama_jupyter.prompt.jinja import render_chat
from ollama_jupyter.prompt.select import capabilities, choose

S, U, A = (lambda text, role=role: Message(role, text) for role in ("system", "user", "assistant"))
PLAIN = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"


# ---- images ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "images", "expected"),
    [
        ("what?", (b"1",), "[img-0]what?"),
        ("", (b"1", b"2"), "[img-0][img-1]"),
        ("a [img] b", (b"1",), "a [img-0] b"),
        ("a [img] b [img] c [img]", (b"1", b"2"), "a [img-0] b [img-1] c [img]"),
        ("a [img] b", (b"1", b"2", b"3"), "[img-1][img-2]a [img-0] b"),
        ("a [img] b", (), "a [img] b"),
    ],
)
def test_tags_stand_for_marks_or_in_front(content: str, images: tuple[bytes, ...], expected: str) -> None:
    placed, found = place_images([Message("user", content, images=images)])
    assert (placed[0].content, found) == (expected, images)


@pytest.mark.parametrize("source", [("{{ range .Messages }}{{ .Content }};{{ end }}", None), (None, PLAIN)])
def test_images_are_counted_over_the_messages(source: tuple[str | None, str | None]) -> None:
    renderer = choose(template=source[0], chat_template=source[1])
    messages = [Message("user", "a", images=(b"1",)), A("b"), Message("user", "c [img]", images=(b"2",))]
    rendered = renderer.chat(messages)
    assert rendered.images == (b"1", b"2")
    assert "[img-0]a" in rendered.text
    assert "c [img-1]" in rendered.text
    assert renderer.chat(messages[1:]).text.count("[img-0]") == 1
    request = renderer.template("<{{ .Prompt }}>", system="", prompt="p", images=(b"1",))
    assert (request.text, request.images) == ("<[img-0]p>", (b"1",))


# ---- calls and their results ----------------------------------------------------------------------------------------

CALLS = Message("assistant", "", tool_calls=(ToolCall("f", {}), ToolCall("g", {}, id="mine")))


def test_calls_and_results_know_each_other() -> None:
    told = linked([U("u"), CALLS, Message("tool", "1"), Message("tool", "2"), U("v"), CALLS])
    first, second = told[1].tool_calls
    assert (len(first.id), second.id) == (9, "mine")
    assert [(m.tool_name, m.tool_call_id) for m in told[2:4]] == [("f", first.id), ("g", "mine")]
    assert told[5].tool_calls[0].id != first.id


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([{"tool_name": "g"}, {"tool_name": "f"}], ["g", "f"]),
        ([{"tool_call_id": "mine"}, {}], ["g", "f"]),
        ([{}, {}, {}], ["f", "g", ""]),
        ([{"tool_call_id": "other"}], [""]),
        ([{"tool_name": "unknown"}], ["unknown"]),
    ],
)
def test_results_are_matched_by_id_then_name_then_order(results: list[dict[str, str]], expected: list[str]) -> None:
    told = linked([CALLS, *(Message("tool", "r", **more) for more in results)])
    assert [message.tool_name for message in told[1:]] == expected


CALL = Message("assistant", "", tool_calls=(ToolCall("f", {"x": "ö", "y": [1]}, id="call_abcdefgh"),))
RESULT = Message("tool", "r", tool_call_id="call_abcdefgh")


def calls(body: str) -> str:
    return (
        PLAIN + "{% for m in messages if m.tool_calls %}{% for c in m.tool_calls %}" + body + "{% endfor %}{% endfor %}"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{{ c.function.arguments | tojson }}", '{"x": "ö", "y": [1]}'),
        ("{{ c.function.arguments }}", '{"x": "ö", "y": [1]}'),
        ("{{ '' + c.function.arguments }}", '{"x": "ö", "y": [1]}'),
        ("{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }},{% endfor %}", "x=ö,y=[1],"),
        ("{% for k, v in c.function.arguments | items %}<{{ k }}>{% endfor %}", "<x><y>"),
    ],
)
def test_arguments_are_objects_or_texts(body: str, expected: str) -> None:
    assert render_chat(calls(body), [U("u"), CALL]).endswith(expected)


def test_ids_of_nine_characters_where_a_template_insists() -> None:
    source = calls("{% if c.id | length != 9 %}{{ raise_exception('nine') }}{% endif %}{{ c.id }}") + (
        "|{{ messages[-1].tool_call_id }}"
    )
    written, _, answered = render_chat(source, [U("u"), CALL, RESULT]).rpartition(";")[2].partition("|")
    assert written == answered
    assert (len(written), written.isalnum()) == (9, True)
    assert "call_abcdefgh|call_abcdefgh" in render_chat(source.replace("!= 9", "!= 13"), [U("u"), CALL, RESULT])


# ---- templates that take something else -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.role }}:{{ m.content }};{% endfor %}",
        "{% for m in messages if m.role != 'system' %}{{ m.role }}:{{ m.content }};{% endfor %}",
    ],
)
def test_a_system_message_is_told_in_the_next_user_turn_where_there_is_no_place_for_it(source: str) -> None:
    assert render_chat(source, [S("s"), U("u"), A("a"), U("v")]) == "user:s\n\nu;assistant:a;user:v;"
    assert render_chat(source, [S("s")]) == "user:s;"
    assert render_chat(PLAIN, [S("s"), U("u")]) == "system:s;user:u;"


def test_contents_are_parts_where_a_template_takes_parts() -> None:
    parts = "{% for m in messages %}{% for p in m.content %}{{ p.type }}={{ p.text }};{% endfor %}{% endfor %}"
    assert render_chat(parts, [U("u"), A("a"), U("v")]) == "text=u;text=a;text=v;"
    assert render_chat(parts, [U("u"), A("go on")]) == "text=u;text=go on"


def test_no_tools_are_an_empty_list_where_a_template_counts_them() -> None:
    assert render_chat("{{ tools | length }}" + PLAIN, [U("u")]) == "0user:u;"
    assert render_chat("{{ tools is none }}" + PLAIN, [U("u")]) == "Trueuser:u;"


@pytest.mark.parametrize(
    ("think", "expected"),
    [
        (None, "|||"),
        (True, "True|True||"),
        (False, "False|False||"),
        ("low", "True|True|low|"),
        ("max", "True|True|high|"),
    ],
)
def test_thinking_has_the_names_of_published_templates(think: bool | str | None, expected: str) -> None:
    source = "{{ enable_thinking }}|{{ thinking }}|{{ reasoning_effort }}|"
    assert render_chat(source, [U("u")], think=think) == expected


def test_tools_come_as_they_were_given() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"z": "<ö>", "a": None}}}
    assert render_chat("{{ tools[0] | tojson }}", [U("u")], tools=[tool]) == json.dumps(tool, ensure_ascii=False)


# ---- harmony's names ------------------------------------------------------------------------------------------------


def test_identifiers() -> None:
    assert identifiers(["f", "get-weather", "get.weather", "3d", "", "ö", "f"]) == {
        "f": "f", "get-weather": "get_weather", "get.weather": "get_weather_2", "3d": "_3d", "": "unnamed", "ö": "_",
    }  # fmt: skip


def test_gpt_oss_sees_tools_under_identifiers() -> None:
    go = "<|start|><|end|>{{ range .Tools }}{{ .Function.Name }}{{ end }}{{ range .Messages }}{{ .ToolName }};{{ end }}"
    tool = {"type": "function", "function": {"name": "get-weather"}}
    renderer = choose(template=go, chat_template=None, family="gptoss")
    text = renderer.chat([U("u"), Message("tool", "r", tool_name="get-weather")], tools=[tool]).text
    assert text == "<|start|><|end|>get_weather;get_weather;"
    assert "get-weather" in choose(template=go, chat_template=None).chat([U("u")], tools=[tool]).text


# ---- filling in the middle ------------------------------------------------------------------------------------------

QWEN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def gguf(tmp_path: Path, extra: tuple[str, ...], **metadata: Any) -> Path:
    tokens, scores, types = tiny_vocabulary()
    changed = [*tokens[: -len(extra)], *extra] if extra else tokens
    arrays = {"tokenizer.ggml.tokens": changed, "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": types}
    return write_tiny_gguf(tmp_path / "fim.gguf", metadata={**arrays, **metadata})


def test_infill_tokens_are_found_by_text_or_by_id(tmp_path: Path) -> None:
    assert read_header(gguf(tmp_path, ())).infill is None
    assert read_header(gguf(tmp_path, QWEN)).infill == QWEN
    assert read_header(gguf(tmp_path, QWEN[:2])).infill is None
    assert read_header(gguf(tmp_path, ("x<fim_prefix>", "<fim_suffix>", "<fim_middle>"))).infill is None
    last = len(tiny_vocabulary()[0]) - 3
    keys = {f"tokenizer.ggml.fim_{part}_token_id": last + i for i, part in enumerate(("pre", "suf", "mid"))}
    assert read_header(gguf(tmp_path, ("{a", "{b", "{c"), **keys)).infill == ("{a", "{b", "{c")
    wrong = {**keys, "tokenizer.ggml.fim_mid_token_id": 10**6}
    assert read_header(gguf(tmp_path, ("{a", "{b", "{c"), **wrong)).infill is None


def test_the_gap_is_filled_by_template_or_by_tokens() -> None:
    go = "{{ if .Suffix }}P{{ .Prompt }}S{{ .Suffix }}M{{ else }}{{ .Prompt }}{{ end }}"
    by_tokens = choose(template=None, chat_template=PLAIN, infill=QWEN)
    assert by_tokens.suffix("a", "b").text == "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"
    assert choose(template=go, chat_template=None, infill=QWEN).suffix("a", "b").text == "PaSbM"
    assert choose(template="{{ .Prompt }}", chat_template=None, infill=QWEN).suffix("a", "b") == by_tokens.suffix(
        "a", "b"
    )
    with pytest.raises(TemplateError):
        choose(template="{{ .Prompt }}", chat_template=None).suffix("a", "b")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"infill": True}, ("completion", "insert")),
        ({"infill": True, "template": "{{ .Suffix }}"}, ("completion", "insert")),
        ({"infill": True, "pooling": True}, ("embedding",)),
        ({}, ("completion",)),
    ],
)
def test_models_that_fill_a_gap_say_so(given: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert capabilities(**{"template": None, "chat_template": None, "native": False, **given}) == expected
