"""Built-in templates: which models get one on create, and that nothing is lost by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from creating import blob_of, make, manifest_of, real_probe, roles
from dialogues import DIALOGUES, TOOLS
from golden_families import PUBLISHED
from models import write_tiny_gguf
from published import template
from test_prompts import one_day  # noqa: F401 - a fixture

from ollama_jupyter.config import Settings
from ollama_jupyter.library import Library
from ollama_jupyter.prompt.families import FAMILIES, autodetect, family
from ollama_jupyter.prompt.gomodes import render_messages
from ollama_jupyter.prompt.gotemplate import parse, thinking_tags, tool_call_tag
from ollama_jupyter.store.models import Store

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OLLAMAS_CHATML = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)
DETECTED = {
    "chatml": "chatml",
    "llama3": "llama3-instruct",
    "mistral-v1": "mistral-instruct",
    "mistral-v7": "mistral-v7",
    "gemma": "gemma-instruct",
    "gemma2": "gemma-instruct",
    "phi3.5": "phi-3",
    "phi4": "phi-4",
    "vicuna": "vicuna",
    "openchat": "openchat",
    "deepseek-coder": "deepseek-coder",
    "deepseek-v2": "deepseek",
    "command-r": "command-r",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_template_is_known_where_ours_writes_the_same(name: str) -> None:
    one = PUBLISHED[name]
    found = autodetect(template(one.source), bos=one.bos, eos=one.eos)
    assert (found.name if found else None) == DETECTED.get(name)


@pytest.mark.parametrize(
    "change",
    [
        ("'\n' + message['content']", "'\n' + 'Q: ' + message['content']"),
        ("assistant\n", "assistant\n\n"),
        (
            "{% for message",
            "{% if messages[0].role != 'system' %}<|im_start|>system\nHi<|im_end|>\n{% endif %}{% for message",
        ),
        ("{% for message", "{% if tools %}{{ tools }}{% endif %}{% for message"),
        ("{% for message", "{% if false %}<think></think>{% endif %}{% for message"),
        ("{% for message", "{{ raise_exception('no') }}{% for message"),
        ("{% endfor %}", ""),
    ],
)
def test_a_template_that_writes_or_knows_anything_else_speaks_for_itself(change: tuple[str, str]) -> None:
    assert autodetect(CHATML) == family("chatml")
    assert autodetect(CHATML.replace(*change)) is None


@pytest.mark.parametrize("one", FAMILIES, ids=lambda one: one.name)
def test_a_template_knows_what_the_table_says(one: object) -> None:
    found = family(getattr(one, "name"))  # noqa: B009
    parsed = parse(found.template)
    assert ("tools" in parsed.variables) == found.tools
    assert bool(thinking_tags(parsed) or ".Thinking" in found.template) == found.thinking
    assert found.stop or found.name == "gpt-oss"


@pytest.mark.parametrize("one", FAMILIES, ids=lambda one: one.name)
def test_a_trailing_answer_is_left_open(one: object) -> None:
    found = family(getattr(one, "name"))  # noqa: B009
    text = render_messages(found.template, DIALOGUES["turns"][:2])
    assert text.endswith("Hello, how may I help?") == (found.name != "chatml")


def test_calls_are_told_by_their_tags() -> None:
    assert tool_call_tag(parse(family("mistral-nemo").template)) == "[TOOL_CALLS]["
    assert thinking_tags(parse(family("qwen3").template)) == ("<think>", "</think>")


def canonical(text: str) -> str:
    """The text with every JSON object in it written in one way."""
    parts, at = [], 0
    while (start := text.find("{", at)) >= 0:
        try:
            value, length = json.JSONDecoder().raw_decode(text[start:])
        except ValueError:
            parts.append(text[at : start + 1])
            at = start + 1
            continue
        parts += [text[at:start], json.dumps(value, sort_keys=True)]
        at = start + length
    return "".join([*parts, text[at:]])


@pytest.mark.parametrize("name", ["qwen2.5", "qwen3"])
def test_tools_are_the_published_ones_but_for_the_spelling_of_json(name: str) -> None:
    one = PUBLISHED[name]
    golden = json.loads((Path(__file__).parents[1] / "golden" / "prompts.json").read_text())[name]["prompts"]["tools"]
    text = render_messages(family(one.go).template, DIALOGUES["tools"], tools=TOOLS)
    assert canonical(text) == canonical(golden)


# ---- on create ------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Library:
    models = tmp_path / "models"
    return Library(Store(models), Settings(models=models), real_probe)


def weights(tmp_path: Path, chat_template: str) -> bytes:
    return write_tiny_gguf(tmp_path / "tiny.gguf", chat_template=chat_template).read_bytes()


async def test_plain_chatml_gets_ollamas_template_and_stops(library: Library, tmp_path: Path) -> None:
    lines = await make(library, "m", weights(tmp_path, CHATML))
    assert "using autodetected template chatml" in lines
    models = tmp_path / "models"
    assert roles(models, "m") == ["model", "template", "params"]
    layers = {entry["mediaType"].rpartition(".")[2]: entry for entry in manifest_of(models, "m")["layers"]}
    assert blob_of(models, layers["template"]).decode() == OLLAMAS_CHATML
    assert json.loads(blob_of(models, layers["params"])) == {"stop": ["<|im_start|>", "<|im_end|>"]}


async def test_what_the_request_says_stands_above_what_was_detected(library: Library, tmp_path: Path) -> None:
    data = weights(tmp_path, CHATML)
    lines = await make(library, "m", data, template="{{ .Prompt }}")
    assert not [line for line in lines if "autodetected" in line]
    await make(library, "n", data, parameters={"stop": ["x"], "top_k": 3})
    model = Store(tmp_path / "models").resolve("n")
    assert (model.params, model.template) == ({"stop": ["x"], "top_k": 3}, OLLAMAS_CHATML)


async def test_a_model_that_knows_tools_keeps_its_own_template(library: Library, tmp_path: Path) -> None:
    lines = await make(library, "m", weights(tmp_path, template("Qwen-Qwen2.5-7B-Instruct.jinja")))
    assert not [line for line in lines if "autodetected" in line]
    assert Store(tmp_path / "models").resolve("m").template is None
