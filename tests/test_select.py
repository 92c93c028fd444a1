"""Which template renders, what it makes of a conversation, and what a model is said to be able to do."""

import pytest

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message
from ollama_jupyter.prompt.conversation import collate
from ollama_jupyter.prompt.select import (
    Rendered,
    assemble,
    capabilities,
    choose,
    for_generate,
    render_generate,
)

S, U, A = (lambda text, role=role: Message(role, text) for role in ("system", "user", "assistant"))

LEGACY = "[S]{{ .System }}[U]{{ .Prompt }}[A]{{ .Response }}[E]"
CHAT = "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}<assistant>"
GO_TOOLS = "{{ range .Messages }}{{ if .ToolCalls }}[CALL]{{ end }}{{ end }}{{ .Tools }}"
GO_TOOLS_RESULTS = GO_TOOLS + '{{ range .Messages }}{{ if eq .Role "tool" }}{{ .Content }}{{ end }}{{ end }}'
GO_THINKS = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}"
JINJA = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
JINJA_TOOLS = JINJA + "{{ tools }}"
JINJA_TOOLS_RESULTS = JINJA_TOOLS + "{% if m.role == 'tool' %}{% endif %}"
JINJA_ALL = JINJA_TOOLS_RESULTS + "<think></think>"


@pytest.mark.parametrize(
    ("template", "chat_template", "more", "kind"),
    [
        (CHAT, None, {}, "go"),
        (None, JINJA, {}, "jinja"),
        (None, None, {}, "jinja"),
        (CHAT, JINJA, {}, "go"),
        (CHAT, JINJA, {"prefer_go": False}, "jinja"),
        (CHAT, None, {"prefer_go": False}, "jinja"),
        (CHAT, JINJA_ALL, {}, "jinja"),
        (CHAT, JINJA_ALL, {"prefer_go": True}, "go"),
        (CHAT, JINJA_TOOLS, {}, "jinja"),
        (GO_TOOLS, JINJA_TOOLS, {}, "go"),
        (GO_TOOLS, JINJA_TOOLS_RESULTS, {}, "jinja"),
        (GO_TOOLS_RESULTS, JINJA_TOOLS_RESULTS, {}, "go"),
        (GO_TOOLS_RESULTS, JINJA_TOOLS + "<think></think>", {}, "go"),
        (GO_TOOLS_RESULTS, JINJA_ALL, {}, "jinja"),
        (GO_THINKS, JINJA_TOOLS, {}, "go"),
        (GO_THINKS, JINJA + "<think></think>", {}, "go"),
        (CHAT, JINJA_ALL, {"parser": "qwen3"}, "go"),
        (CHAT, JINJA_ALL, {"parser": "qwen3", "prefer_go": False}, "go"),
        ("{{ .Prompt }}", JINJA, {"renderer": "laguna"}, "jinja"),
        ("{{ .Prompt }}", None, {"renderer": "laguna"}, "go"),
        ("<|start|><|end|>" + CHAT, JINJA_ALL, {"family": "gptoss", "prefer_go": False}, "go"),
        (CHAT, JINJA_ALL, {"family": "gptoss"}, "jinja"),
    ],
)
def test_choice(template: str | None, chat_template: str | None, more: dict[str, object], kind: str) -> None:
    renderer = choose(template=template, chat_template=chat_template, **more)  # type: ignore[arg-type]
    assert renderer.kind == kind
    assert renderer.source == (template if kind == "go" else chat_template)
    assert renderer.native == (kind == "jinja")


def test_a_builtin_renderer_comes_first() -> None:
    renderer = choose(template="{{ .Prompt }}", chat_template=JINJA_ALL, renderer="qwen3-coder", prefer_go=True)
    assert (renderer.kind, renderer.native) == ("builtin", False)
    assert renderer.chat([U("u")]).text == "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([S("S"), U("u"), A("a"), U("u2")], "[S]S[U]u[A]a[E][S][U]u2[A]"),
        ([U("u")], "[S][U]u[A]"),
        ([U("u"), A("a")], "[S][U]u[A]a"),
        ([U("u"), U("v")], "[S][U]u\n\nv[A]"),
        ([U("u"), S("S"), U("v")], "[S][U]u[A][E][S]S[U]v[A]"),
        ([S("S"), S("T"), U("u")], "[S]S\n\nT[U]u[A]"),
        ([A("a"), U("u")], "[S][U][A]a[E][S][U]u[A]"),
        ([], "[S][U][A]"),
    ],
)
def test_legacy_turns(messages: list[Message], expected: str) -> None:
    assert choose(template=LEGACY, chat_template=None).chat(messages).text == expected


def test_messages_mode() -> None:
    chat = choose(template="{{ .System }}|" + CHAT, chat_template=None).chat
    assert chat([S("S"), U("u"), U("v"), A("a"), S("T"), U("w")]).text == (
        "S\n\nT|<system>S<user>u\n\nv<assistant>a<system>T<user>w<assistant>"
    )
    last_open = (
        "{{ range $i, $m := .Messages }}{{ .Content }}{{ if ne (len (slice $.Messages $i)) 1 }};{{ end }}{{ end }}"
    )
    assert choose(template=last_open, chat_template=None).chat([U("u"), A("so")]).text == "u;so"


def test_collate_keeps_tool_results_apart() -> None:
    messages = [S("a"), U("b"), U("c"), Message("tool", "1"), Message("tool", "2"), S("d")]
    system, merged = collate(messages)
    assert system == "a\n\nd"
    assert [(m.role, m.content) for m in merged] == [
        ("system", "a"),
        ("user", "b\n\nc"),
        ("tool", "1"),
        ("tool", "2"),
        ("system", "d"),
    ]


@pytest.mark.parametrize(
    ("think", "expected"),
    [(None, "false  false"), (True, "true medium true"), (False, "false  true"), ("high", "true high true")],
)
@pytest.mark.parametrize("mode", ["", "{{ range .Messages }}{{ end }}"])
def test_thinking_variables(think: bool | str | None, expected: str, mode: str) -> None:
    template = mode + "{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}"
    assert choose(template=template, chat_template=None).chat([U("u")], think=think).text == expected


def test_tools_in_a_go_template() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {
                "type": "object",
                "required": ["b"],
                "properties": {"b": {"type": "string"}, "a": {"type": ["integer", "null"]}},
            },
        },
    }
    renderer = choose(template=GO_TOOLS, chat_template=None)
    assert renderer.chat([U("u")], tools=[tool]).text == (
        '[{"type":"function","function":{"name":"f","description":"","parameters":{"type":"object","required":["b"],'
        '"properties":{"a":{"type":["integer","null"]},"b":{"type":"string"}}}}}]'
    )
    assert (
        choose(template="{{ if .Tools }}t{{ end }}" + CHAT, chat_template=None).chat([U("u")]).text
        == "<user>u<assistant>"
    )


@pytest.mark.parametrize(
    ("template", "chat_template", "bos", "has_bos"),
    [
        ("<s>" + CHAT, None, "<s>", True),
        (CHAT, None, "<s>", False),
        ("<s>" + CHAT, None, "", False),
        (None, "{{ bos_token }}" + JINJA, "<s>", True),
        (None, JINJA, "<s>", False),
    ],
)
def test_bos_is_noticed(template: str | None, chat_template: str | None, bos: str, has_bos: bool) -> None:
    assert choose(template=template, chat_template=chat_template, bos=bos).chat([U("u")]).has_bos is has_bos


# ---- /api/generate


def test_generate_is_a_chat_of_one_turn() -> None:
    renderer = choose(template=None, chat_template=JINJA)
    assert renderer.generate([S("s"), U("u")]) == Rendered("system:s;user:u;", False)


def test_generate_without_any_template_continues_the_text() -> None:
    renderer = choose(template=None, chat_template=None)
    assert renderer.generate([S("s"), U("Once upon")]).text == "Once upon"
    assert "<|im_start|>user\nOnce upon" in renderer.chat([U("Once upon")]).text


def test_a_template_of_the_request() -> None:
    assert render_generate(LEGACY, system="s", prompt="p") == "[S]s[U]p[A]"
    assert render_generate(LEGACY, system="", prompt="p", response="r") == "[S][U]p[A]r"
    assert render_generate(CHAT, system="s", prompt="p") == "<system>s<user>p<assistant>"
    assert (
        render_generate("<{{ .Prompt }}|{{ .Suffix }}>{{ .System }}", system="s", prompt="p", suffix="q")
        == "<p|q><no value>"
    )
    with pytest.raises(TemplateError, match=r"^template: :1: unclosed action$"):
        render_generate("{{ .Prompt", system="", prompt="p")
    renderer = choose(template=None, chat_template=JINJA, bos="[S]")
    assert renderer.template(LEGACY, system="s", prompt="p") == Rendered("[S]s[U]p[A]", True)


def test_suffix() -> None:
    renderer = choose(
        template="{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}",
        chat_template=None,
    )
    assert renderer.suffix("a", "b").text == "<PRE>a<SUF>b<MID>"
    with pytest.raises(TemplateError):
        choose(template=None, chat_template=JINJA).suffix("a", "b")


def test_for_generate() -> None:
    history = (U("x"), A("y"))
    fresh = for_generate("p", system=None, model_system="m", model_messages=history, has_context=False)
    assert fresh == (S("m"), *history, U("p"))
    assert for_generate("p", system="r", model_system="m", model_messages=history, has_context=True) == (S("r"), U("p"))
    assert for_generate("p", system=None, model_system="", model_messages=(), has_context=False) == (U("p"),)


def test_assemble() -> None:
    history = (U("x"), A("y"))
    assert assemble("m", history, [U("u")]) == (S("m"), *history, U("u"))
    assert assemble("m", history, [S("own"), U("u")]) == (*history, S("own"), U("u"))
    assert assemble("m", (), [U("u"), S("late")]) == (S("m"), U("u"), S("late"))
    assert assemble("", (), [U("u")]) == (U("u"),)


def test_old_thinking_is_forgotten() -> None:
    messages = [U("a"), A("<think>\nhm</think>\n\nb"), U("c"), A("<think>now</think>d")]
    assert assemble("", (), messages, forget_thinking=True) == (U("a"), A("b"), U("c"), A("<think>now</think>d"))
    assert assemble("", (), messages) == tuple(messages)


# ---- capabilities


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ("completion",)),
        ({"pooling": True}, ("embedding",)),
        ({"template": CHAT}, ("completion",)),
        ({"template": GO_TOOLS + "{{ .Suffix }}" + GO_THINKS}, ("completion", "tools", "insert", "thinking")),
        ({"chat_template": JINJA_ALL, "native": True}, ("tools", "thinking", "completion")),
        ({"chat_template": JINJA_ALL, "native": False}, ("completion",)),
        ({"chat_template": JINJA + "{{ m.content.split('</think>') }}", "native": True}, ("thinking", "completion")),
        ({"template": GO_TOOLS, "chat_template": JINJA_ALL, "native": True}, ("tools", "thinking", "completion")),
        ({"vision": True, "audio": True}, ("completion", "vision", "audio")),
        ({"projector": True}, ("completion", "vision")),
        (
            {"projector": True, "projector_audio": True, "template": GO_TOOLS},
            ("completion", "vision", "audio", "tools"),
        ),
        ({"configured": ("tools", "completion"), "template": GO_TOOLS}, ("tools", "completion")),
        ({"family": "gptoss", "template": CHAT}, ("completion", "thinking")),
        ({"template": "{{ broken"}, ("completion",)),
    ],
)
def test_capabilities(facts: dict[str, object], expected: tuple[str, ...]) -> None:
    assert capabilities(**{"template": None, "chat_template": None, "native": False, **facts}) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>a</think> b", "b"),
        ("x<think>a</think>\n\n<think></think>y", "xy"),
        ("<think>never closed", "<think>never closed"),
        ("</think>a", "</think>a"),
        ("<think>" * 20_000, "<think>" * 20_000),
        ("<think></think> " * 20_000, ""),
    ],
)
def test_thinking_is_cut_out_of_earlier_answers_in_one_pass(text: str, left: str) -> None:
    messages = [Message("assistant", text), Message("user", "next")]
    assert assemble("", (), messages, forget_thinking=True)[0].content == left
