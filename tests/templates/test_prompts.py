"""Prompts of the published families: jinja2's, our interpreter's, and those of our own templates and renderers.

`golden/prompts.json` holds what jinja2 makes of each family's published template, with its source; `make_prompts.py`
writes it. The templates themselves are fetched.
"""

from __future__ import annotations

import json
from datetime import date

import pytest
from dialogues import DIALOGUES, tools_of
from golden_families import PUBLISHED
from make_prompts import GOLDEN, rows
from published import TODAY, template

from ollama_jupyter.prompt.families import family
from ollama_jupyter.prompt.gotemplate import funcs
from ollama_jupyter.prompt.jinja import render_chat, run
from ollama_jupyter.prompt.select import choose

EXPECTED: dict[str, dict[str, str]] = {name: one["prompts"] for name, one in json.loads(GOLDEN.read_text()).items()}
CASES = [(name, dialogue) for name, prompts in EXPECTED.items() for dialogue in prompts]


class Clock:
    @staticmethod
    def now() -> object:
        return TODAY


class Calendar(date):
    @classmethod
    def today(cls) -> Calendar:
        return cls(TODAY.year, TODAY.month, TODAY.day)


@pytest.fixture(autouse=True)
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "datetime", Clock)
    monkeypatch.setattr(funcs, "date", Calendar)


def beside(kind: str) -> list[tuple[str, str]]:
    """The cases in which something of ours is to write exactly the published prompt."""
    return [(n, d) for n, d in CASES if getattr(PUBLISHED[n], kind) and d not in PUBLISHED[n].differs]


def test_enough_families() -> None:
    assert len(EXPECTED) >= 20
    assert set(EXPECTED) == set(PUBLISHED)
    assert sum(len(prompts) for prompts in EXPECTED.values()) >= 60
    assert all(set(one.differs) <= set(DIALOGUES) for one in PUBLISHED.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_golden_prompts_are_what_jinja2_makes_of_the_published_template(name: str) -> None:
    assert rows(PUBLISHED[name]) == EXPECTED[name]


@pytest.mark.parametrize(("name", "dialogue"), CASES)
def test_our_interpreter_writes_the_same(name: str, dialogue: str) -> None:
    one, expected = PUBLISHED[name], EXPECTED[name][dialogue]
    messages, tools = DIALOGUES[dialogue], tools_of(dialogue)
    text = render_chat(template(one.source), messages, bos=one.bos, eos=one.eos, tools=tools)
    if expected.startswith("refused: "):
        assert messages[0].content in text  # it is told in the first user turn
    else:
        assert text == expected


@pytest.mark.parametrize(("name", "dialogue"), beside("go"))
def test_the_builtin_template_writes_the_same(name: str, dialogue: str) -> None:
    one = PUBLISHED[name]
    go = choose(template=family(one.go).template, chat_template=None)
    text = go.chat(DIALOGUES[dialogue], tools=tools_of(dialogue)).text
    assert text == EXPECTED[name][dialogue].removeprefix(one.bos)


@pytest.mark.parametrize(("name", "dialogue"), beside("renderer"))
def test_the_builtin_renderer_writes_the_same(name: str, dialogue: str) -> None:
    renderer = choose(template=None, chat_template=None, renderer=PUBLISHED[name].renderer)
    text = renderer.chat(DIALOGUES[dialogue], tools=tools_of(dialogue)).text
    assert text.removeprefix(PUBLISHED[name].bos) == EXPECTED[name][dialogue].removeprefix(PUBLISHED[name].bos)
