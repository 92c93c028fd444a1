"""Live display and the taming of a model's Markdown: pure parts, with a clock of our own."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

import mistune
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_jupyter.notebook.display import Bundle, LiveMarkdown, Throttle, Update
from ollama_jupyter.notebook.markdown import safe_markdown, safe_text
from ollama_jupyter.notebook.result import Result, Stats, Truncation

# ---- throttling -------------------------------------------------------------------------------------------------


class Stage:
    """Records what is shown, and when, by a clock that a test moves."""

    def __init__(self, cost: float = 0.0) -> None:
        self.now = 0.0
        self.cost = cost
        self.shown: list[tuple[float, Bundle]] = []

    def clock(self) -> float:
        return self.now

    def show(self, bundle: Bundle) -> Update:
        self.shown.append((self.now, bundle))
        return self.replace

    def replace(self, bundle: Bundle) -> None:
        self.shown.append((self.now, bundle))
        self.now += self.cost


def play(stage: Stage, seconds: float, tokens_per_second: float) -> LiveMarkdown:
    screen = LiveMarkdown(stage.show, "m …", Throttle(clock=stage.clock))
    text = ""
    while stage.now < seconds:
        text += "word "
        screen.update(text)
        stage.now += 1 / tokens_per_second
    screen.finish(text, "footer")
    return screen


def test_ten_to_fifteen_updates_a_second() -> None:
    stage = Stage()
    play(stage, 10, 200)
    updates = len(stage.shown) - 2
    assert 100 <= updates <= 150


def test_a_slow_model_is_shown_token_by_token() -> None:
    stage = Stage()
    play(stage, 10, 5)
    assert len(stage.shown) - 2 == pytest.approx(50, abs=1)


def test_the_first_word_is_not_held_back_and_the_last_state_is_whole() -> None:
    stage = Stage()
    play(stage, 1, 100)
    assert stage.shown[1][0] == 0.0
    assert stage.shown[-1][1]["text/plain"].startswith("word " * 100)
    assert "footer" in stage.shown[-1][1]["text/markdown"]


def test_costly_rendering_is_done_less_often() -> None:
    stage = Stage(cost=0.1)
    play(stage, 10, 100)
    assert 15 <= len(stage.shown) - 2 <= 21


# ---- markdown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain *text*, 1 < 2 and a<- b", "plain *text*, 1 < 2 and a<- b"),
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("x <img src=x onerror=alert(1)>", "x &lt;img src=x onerror=alert(1)>"),
        ("\\<b>", "&lt;b>"),
        ("<!-- <?php <javascript:alert(1)>", "&lt;!-- &lt;?php &lt;javascript:alert(1)>"),
        ("`code` and `List<T>`", "`code` and <code>List&#60;T&#62;</code>"),
        ("``a ` <b>`` <i>", "<code>a &#96; &#60;b&#62;</code> &lt;i>"),
        ("| `a | <img> ` |", "| <code>a &#124; &#60;img&#62;</code> |"),
        ("a ` b\n` <img> `", "a ` b\n<code>&#60;img&#62;</code>"),
        ("$a<b$ then <b>", "$a< b$ then &lt;b>"),
        ("![x](https://host/?q=secret)", "\\![x](https://host/?q=secret)"),
        ("[ok](https://a.b) [m](mailto:a@b) [r](x.md#y)", "[ok](https://a.b) [m](mailto:a@b) [r](x.md#y)"),
        ("[x](javascript:alert(1))", "[x]\\(javascript:alert(1))"),
        ("[x]( JavaScript:alert(1))", "[x]\\( JavaScript:alert(1))"),
        ("[x](java&Tab;script&colon;alert(1))", "[x]\\(java&Tab;script&colon;alert(1))"),
        ("[x](&#1;javascript\\:alert(1))", "[x]\\(&#1;javascript\\:alert(1))"),
        ("[x](<javascript:alert(1)>)", "[x]\\(&lt;javascript:alert(1)>)"),
        ("[x](data:text/html,hi)", "[x]\\(data:text/html,hi)"),
        ("[x]:\n  vbscript:x", "[x]\\:\n  vbscript:x"),
        ("\x1b]0;title\x07 \x9b", "\ufffd]0;title\ufffd \ufffd"),
    ],
)
def test_prose(text: str, shown: str) -> None:
    assert safe_markdown(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("```html\n<b>hi</b>\n```\n<b>", "```html\n<b>hi</b>\n```\n\n&lt;b>"),
        ("```python\nprint(1", "```python\nprint(1\n```"),
        ("~~~ a`b\n```\n<i>\n~~~\n<script>", "````a\n```\n<i>\n````\n\n&lt;script>"),
        ("1. a\n   ```py\n   x<y>\n   ```\n2. <b>", "1. a\n\n\n```py\nx<y>\n```\n\n2. &lt;b>"),
        ("- ```\n  <b>\n", "- ```\n  &lt;b>"),
        ("> ```\n<b>", "> ```\n&lt;b>"),
        ('```"><img src=x>\nx\n```', "```\nx\n```"),
    ],
)
def test_code_blocks(text: str, shown: str) -> None:
    assert safe_markdown(text).strip() == shown


PIECES = [
    *("<img src=x onerror=a>", "<script>", "</b>", "<!--", "-->", "<![CDATA[", "<", ">", "&lt;", "&#60;"),
    *("```", "~~~", "````", "`", "``", "\\", "$", "$$", "\n", "\n\n", "  ", "    ", "\t", "a", "js", "***", "# "),
    *("- ", "> ", "| ", "|-|\n", "1. ", "[", "]", "![", "(", ")", "[x]", "[x](", "\n[x]: javascript:a\n"),
    *("[x](javascript:a)", "](javascript:alert`1`)", "[x](<javascript:a>)", "[x](java&Tab;script:a)"),
]


class Dangers(HTMLParser):
    """Collects from a rendered page what could run or load anything."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        address = re.sub(r"[\x00-\x20]", "", dict(attributes).get("href") or "").lower()
        handlers = [name for name, _ in attributes if name.startswith("on")]
        if tag in ("img", "script") or handlers or address.startswith("javascript:"):
            self.found.append(tag)


render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url", "math"])


def test_the_check_below_can_fail() -> None:
    assert Dangers(str(render("<img src=x>"))).found == ["img"]
    assert Dangers(str(render("- `a\n- <script>\n`"))).found == ["script"]


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_nothing_dangerous_is_rendered(text: str) -> None:
    assert not Dangers(str(render(safe_markdown(text)))).found


@given(st.text())
def test_safe_text_replaces_control_characters_only(text: str) -> None:
    def spelled(character: str) -> str:
        return "\ufffd" if unicodedata.category(character) == "Cc" and character not in "\t\n" else character

    assert safe_text(text) == "".join(map(spelled, text.replace("\r\n", "\n")))


# ---- results ----------------------------------------------------------------------------------------------------


def test_a_result_is_short_in_a_listing_and_markdown_in_a_notebook() -> None:
    result = Result("# Hi\n" + "x" * 500, "m", Stats(tokens=3))
    assert len(repr(result)) < 120
    assert str(result) == result.text
    assert set(result._repr_mimebundle_()) == {"text/plain", "text/markdown"}


@pytest.mark.parametrize(
    ("stats", "line"),
    [
        (Stats(1, 0.5, 2.0, done_reason="stop"), "1 token · 2.0 tokens/s · 0.5 s"),
        (
            Stats(2, 4, 2.0, load_seconds=3, done_reason="stop"),
            "2 tokens · 2.0 tokens/s · 4.0 s · 3.0 s of it loading the model",
        ),
        (Stats(2, 1, 2.0, done_reason="length"), "2 tokens · 2.0 tokens/s · 1.0 s · length limit reached"),
        (
            Stats(2, 1, 2.0, done_reason="stop", truncated=Truncation(1, 90, 512)),
            "2 tokens · 2.0 tokens/s · 1.0 s · 1 earlier message did not fit into 512 tokens",
        ),
        (
            Stats(2, 1, 2.0, done_reason="stop", truncated=Truncation(0, 90, 512)),
            "2 tokens · 2.0 tokens/s · 1.0 s · 90 tokens did not fit into 512 tokens",
        ),
    ],
)
def test_the_footer(stats: Stats, line: str) -> None:
    assert str(stats) == line
