"""docs/templates.md says what is there."""

from __future__ import annotations

import re
from pathlib import Path

from ollama_jupyter.prompt import parsers, renderers
from ollama_jupyter.prompt.families import FAMILIES
from ollama_jupyter.prompt.output import output_for

TEXT = (Path(__file__).parents[2] / "docs" / "templates.md").read_text("utf-8")
OLLAMAS_RENDERERS = (
    "qwen3-coder qwen3-vl-instruct qwen3-vl-thinking qwen3.5 qwen3.8 ornith cogito deepseek3.1 olmo3 olmo3.1 "
    "olmo3-think olmo3-32b-think nemotron-3-nano nemotron-3.5-nano gemma4 gemma4-small gemma4-large functiongemma "
    "glm-4.7 glm-ocr lfm2 lfm2-thinking laguna poolside-v1 cohere glimmer"
)
OLLAMAS_PARSERS = (
    "qwen3 qwen3-thinking qwen3.5 ornith qwen3-coder qwen3-vl-instruct qwen3-vl-thinking ministral passthrough harmony "
    "cogito deepseek3 olmo3 olmo3-think nemotron-3-nano nemotron-3.5-nano functiongemma glm-4.7 gemma4 "
    "gemma4-no-thinking glm-ocr lfm2 lfm2-thinking laguna poolside-v1 cohere glimmer"
)


def section(title: str) -> str:
    return re.split(r"^## ", TEXT.partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


def rows(title: str) -> dict[str, list[str]]:
    """The rows of a section's table by the name in their first column."""
    found = re.findall(r"^\| `([^`]+)` \| (.*) \|$", section(title), re.MULTILINE)
    return {name: re.split(r" (?<!\\)\| ", rest) for name, rest in found}


def not_done(title: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", section(title).partition("Not done")[2]))


def yes(value: bool) -> str:
    return "yes" if value else "no"


def test_built_in_templates() -> None:
    assert rows("Built-in templates") == {one.name: [yes(one.tools), yes(one.thinking)] for one in FAMILIES}


def test_renderers() -> None:
    assert set(rows("Renderers")) == set(renderers.names())
    assert not_done("Renderers") == set(OLLAMAS_RENDERERS.split()) - set(renderers.names())


HELD = {"json": "yes", "python": "yes", "xml": "but for texts"}


def test_parsers() -> None:
    assert set(rows("Parsers")) == set(parsers.names())
    assert not_done("Parsers") == set(OLLAMAS_PARSERS.split()) - set(parsers.names())
    for name, (thinking, _, held) in rows("Parsers").items():
        found = output_for(parser=name, kind="go", source=None)
        assert thinking == yes(found.thinking is not None)
        assert held in ("", "no") if found.calls is None else held == HELD[found.calls.arguments], name
