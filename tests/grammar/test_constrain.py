"""Grammars under llguidance: kept and shared, limited, and led to a close."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from drawing import Drawer

from ollama_jupyter.engine import constrain
from ollama_jupyter.engine.constrain import compile_grammar
from ollama_jupyter.errors import BadRequest, EngineError
from ollama_jupyter.messages import Format


def choice(*texts: str) -> Format:
    return Format("choice", texts)


def test_a_grammar_is_compiled_once(drawer: Drawer) -> None:
    text = drawer.form(choice("once", "twice"))
    assert compile_grammar(text, drawer.vocab) is compile_grammar(text, drawer.vocab)


def test_few_grammars_are_kept(drawer: Drawer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constrain, "MAX_GRAMMARS", 2)
    texts = [drawer.form(choice(name)) for name in ("first", "second", "third")]
    last = compile_grammar(texts[2], drawer.vocab)
    first = compile_grammar(texts[0], drawer.vocab)
    assert compile_grammar(texts[2], drawer.vocab) is last
    compile_grammar(texts[1], drawer.vocab)
    assert compile_grammar(texts[0], drawer.vocab) is not first


def test_large_grammars_are_not_kept(drawer: Drawer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawer.form(choice("long" * 20))
    monkeypatch.setattr(constrain, "MAX_KEPT", 50)
    assert compile_grammar(text + "\n", drawer.vocab) is not compile_grammar(text + "\n", drawer.vocab)


def test_longer_grammars_than_the_limit_are_refused(drawer: Drawer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constrain, "MAX_GRAMMAR", 100)
    with pytest.raises(BadRequest, match="at most 100 are taken"):
        compile_grammar("#" * 101, drawer.vocab)


def test_answers_of_one_grammar_go_their_own_ways(drawer: Drawer) -> None:
    held = compile_grammar(drawer.form(choice("aa", "bb")), drawer.vocab)
    first, second = held.matcher(), held.matcher()
    a, b = (drawer.vocab.tokenize(letter, add_special=False)[0] for letter in "ab")
    first.accept(a)
    second.accept(b)
    assert first.forced() == [a]
    assert second.forced() == [b]
    assert first.is_over


def test_many_threads_may_compile_and_go_through_grammars(drawer: Drawer) -> None:
    texts = [drawer.form(Format("schema", {"type": "array", "items": {"const": n}})) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: drawer.draw(texts[n % 4], n, 60).text, range(24)))
    assert all(set(json.loads(answer)) <= {n % 4} for n, answer in enumerate(answers))


def test_a_token_that_is_not_allowed_is_an_error_of_the_engine(drawer: Drawer) -> None:
    matcher = compile_grammar(drawer.form(choice("yes")), drawer.vocab).matcher()
    with pytest.raises(EngineError, match="the grammar of the answer failed"):
        matcher.accept(drawer.vocab.tokenize("no", add_special=False)[0])
    assert not matcher.is_over


@pytest.mark.parametrize(
    ("begun", "closing"),
    [
        ('{"a": "so', {'"', '"}'}),
        ('{"a": "so", "b": [', {"]", "]}"}),
        ('{"a": "so", "b": [1', {"]", "]}"}),
        ('{"a": "so", "b": []', {"}"}),
        ('{"a": "so", "b": [], "c": {', {"}", "}}"}),
        ('{"a": "so", "b": [1, "], {', {'"', '"]', '"]}'}),
    ],
)
def test_near_its_end_json_is_led_to_a_close(drawer: Drawer, begun: str, closing: set[str]) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "array"}, "c": {"type": "object"}},
    }
    text = drawer.form(Format("schema", schema | {"required": ["a"]}))
    assert drawer.next(text, begun, closing=True) <= closing
    assert drawer.next(text, begun, closing=True) < drawer.next(text, begun)


def test_a_number_is_ended_where_more_must_follow(drawer: Drawer) -> None:
    schema = {"type": "object", "properties": {key: {"type": "integer"} for key in "ab"}, "required": ["a", "b"]}
    assert drawer.next(drawer.form(Format("schema", schema)), '{"a": 12', closing=True) == {","}


def test_free_text_is_not_led(drawer: Drawer) -> None:
    text = drawer.form(Format("regex", r"(.|\n)*end"))
    assert drawer.next(text, "so ", closing=True) == drawer.next(text, "so ")


def test_hostile_grammars_end_in_time_and_leave_the_process_alive(smollm2: Path) -> None:
    script = Path(__file__).with_name("hostile.py")
    child = subprocess.run([sys.executable, str(script), str(smollm2)], capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stderr[-2000:]
    told = {name: (words, seconds) for name, words, seconds in map(json.loads, child.stdout.splitlines())}
    assert len(told) == 18
    refused = {"nested groups", "lengths", "itself", "itself twice", "doubling", "product"}
    assert {name for name, (words, _) in told.items() if words.startswith("field")} >= refused
    assert all(
        words.startswith(("held", "field", "the format or the tools are too complex")) for words, _ in told.values()
    )
    assert max(seconds for _, seconds in told.values()) < 20, told


def test_an_answer_that_may_end_ends_and_prose_does_not(drawer: Drawer) -> None:
    numbers = drawer.form(Format("schema", {"type": "integer"}))
    assert drawer.next(numbers, "12", closing=True) <= {drawer.vocab.text([token]) for token in drawer.ends}
    prose = drawer.form(Format("regex", r"(.|\n)*"))
    assert drawer.next(prose, "so ", closing=True) == drawer.next(prose, "so ")
