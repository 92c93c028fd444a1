"""The widgets without a browser: traits are set, buttons clicked, and a fake server answers."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import ipywidgets
import pytest
from fake_ollama import KEY, FakeOllama, chunk, status
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_jupyter.messages import OPTIONS
from ollama_jupyter.widgets import Chat, ModelfileBuilder, Pull
from ollama_jupyter.widgets.prose import prose
from ollama_jupyter.widgets.recipe import Recipe, problem

PATIENCE = 10.0


@pytest.fixture(params=[Chat, Pull, ModelfileBuilder], ids=lambda kind: kind.__name__)
def any_widget(request: pytest.FixtureRequest, fake: FakeOllama) -> Iterator[Any]:
    widget = request.param(host=fake.host)
    yield widget
    widget.close()


@pytest.fixture
def chat(fake: FakeOllama) -> Iterator[Chat]:
    widget = Chat(host=fake.host)
    yield widget
    widget.close()


@pytest.fixture
def pull(fake: FakeOllama) -> Iterator[Pull]:
    widget = Pull(host=fake.host)
    yield widget
    widget.close()


@pytest.fixture
def builder(fake: FakeOllama) -> Iterator[ModelfileBuilder]:
    widget = ModelfileBuilder(host=fake.host)
    yield widget
    widget.close()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def inside(box: ipywidgets.Box) -> Iterator[ipywidgets.Widget]:
    for child in box.children:
        yield child
        if isinstance(child, ipywidgets.Box):
            yield from inside(child)


def button(box: ipywidgets.Box, name: str) -> ipywidgets.Button:
    buttons = (w for w in inside(box) if isinstance(w, ipywidgets.Button) and w.layout.display != "none")
    return next(button for button in buttons if button.description == name)


def field(box: ipywidgets.Box, name: str) -> Any:
    return next(w for w in inside(box) if getattr(w, "description", "") == name)


def shown(box: ipywidgets.Box) -> str:
    """The text that the widget's HTML parts show."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", w.value, flags=re.DOTALL) for w in html_of(box))


def html_of(box: ipywidgets.Box) -> list[ipywidgets.HTML]:
    return [w for w in inside(box) if isinstance(w, ipywidgets.HTML)]


def press_enter(text: ipywidgets.Text) -> None:
    text._handle_custom_msg({"event": "submit"}, [])


# ---- what they share ----------------------------------------------------------------------------------------------


def test_importing_the_room_loads_nothing() -> None:
    code = "import sys, ollama_jupyter.widgets; sys.exit(bool({'ipywidgets', 'ollama', 'mistune'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_their_repr_is_one_short_line(any_widget: Any) -> None:
    assert len(repr(any_widget)) < 60
    assert type(any_widget).__name__ in repr(any_widget)


def test_a_server_that_is_gone_is_one_line_without_its_key(any_widget: Any, fake: FakeOllama) -> None:
    fake.close()
    any_widget.refresh()
    assert any_widget.status.startswith("no Ollama server at http://127.0.0.1")
    assert KEY not in str(any_widget.get_state()) + shown(any_widget)


def test_they_can_be_composed(any_widget: Any) -> None:
    box = ipywidgets.HBox([any_widget])
    assert any_widget in box.children
    box.close()


def test_every_field_and_button_has_a_name(any_widget: Any) -> None:
    kinds = (ipywidgets.Button, ipywidgets.Text, ipywidgets.Textarea, ipywidgets.Dropdown)
    assert all(widget.description for widget in inside(any_widget) if isinstance(widget, kinds))


@pytest.mark.parametrize("kind", [Chat, Pull])
def test_close_ends_the_work_and_its_thread(kind: type[Any], fake: FakeOllama) -> None:
    fake.script, fake.stalls_at = None, 0
    widget = kind(host=fake.host)
    widget.ask("hi") if kind is Chat else widget.pull("tiny:1b")
    until(lambda: bool(fake.bodies("/api/chat") or fake.bodies("/api/pull")))
    widget.close()
    assert fake.closed.wait(PATIENCE)
    assert not [thread for thread in threading.enumerate() if thread.name == "ollama-widget"]


# ---- Chat ---------------------------------------------------------------------------------------------------------


def test_an_answer_streams_into_the_conversation(chat: Chat, fake: FakeOllama) -> None:
    fake.says("Hel", "lo")
    field(chat, "Question").value = "Say hello"
    button(chat, "Send").click()
    assert chat.wait(PATIENCE)
    assert chat.messages == [
        {"role": "user", "content": "Say hello"},
        {"role": "assistant", "content": "Hello"},
    ]
    assert "20 tokens · 40.0 tokens/s" in shown(chat)
    assert field(chat, "Question").value == ""
    fake.says("again")
    field(chat, "Question").value = "And now?"
    press_enter(field(chat, "Question"))
    assert chat.wait(PATIENCE)
    sent = fake.bodies("/api/chat")[-1]["messages"]
    assert [message["content"] for message in sent] == ["Say hello", "Hello", "And now?"]


def test_model_system_and_options_hold_from_the_next_question_on(chat: Chat, fake: FakeOllama) -> None:
    fake.models = ["smollm2:135m", "other:1b"]
    fake.says("ok")
    chat.refresh()
    field(chat, "Model").value = "other:1b"
    assert chat.model == "other:1b"
    button_state = field(chat, "System")
    button_state.value = True
    field(chat, "System prompt").value = "terse"
    chat.options = {"temperature": 0}
    chat.ask("hi")
    assert chat.wait(PATIENCE)
    (body,) = fake.bodies("/api/chat")
    assert (body["model"], body["options"]) == ("other:1b", {"temperature": 0})
    assert body["messages"][0] == {"role": "system", "content": "terse"}


def test_a_system_prompt_that_a_program_sets_is_shown(chat: Chat) -> None:
    prompt = field(chat, "System prompt")
    assert prompt.layout.display == "none"
    chat.system = "Say yes to everything."
    assert prompt.layout.display is None
    field(chat, "System").value = False
    assert prompt.layout.display == "none"


def test_stop_ends_the_answer_on_the_server_and_keeps_what_came(chat: Chat, fake: FakeOllama) -> None:
    fake.script = None
    chat.ask("count")
    until(lambda: "1 2 3" in shown(chat))
    assert chat.busy
    button(chat, "Stop").click()
    assert chat.wait(PATIENCE)
    assert fake.closed.wait(PATIENCE)
    assert not chat.busy
    assert chat.messages[-1]["content"].startswith("1 2 3")
    assert "interrupted" in shown(chat)
    assert chat.status == ""


def test_stop_works_before_the_first_word(chat: Chat, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says nothing at all yet, not even a header: it is loading the model, say."""
    release = threading.Event()
    monkeypatch.setattr("fake_ollama._Handler._chat", lambda *_: release.wait(PATIENCE))
    chat.ask("hi")
    until(lambda: bool(fake.bodies("/api/chat")))
    chat.stop()
    assert chat.wait(PATIENCE)
    release.set()
    assert chat.messages == []
    assert field(chat, "Question").value == "hi", "the words are not lost"
    assert chat.status == ""


def test_an_error_is_one_line_and_gives_the_question_back(chat: Chat, fake: FakeOllama) -> None:
    fake.script = [{"error": "out of <b>memory</b>"}]
    chat.ask("hi")
    assert chat.wait(PATIENCE)
    assert chat.status == "out of <b>memory</b>"
    assert "&lt;b&gt;memory" in chat.children[-1].value
    assert 'role="alert"' in chat.children[-1].value
    assert (chat.messages, field(chat, "Question").value) == ([], "hi")
    fake.script = [chunk("half an ans"), {"error": "gone"}]
    chat.ask("hi")
    assert chat.wait(PATIENCE)
    assert chat.messages[-1]["content"] == "half an ans"
    fake.script = [{"error": "gone"}]
    chat.ask("what now?")
    assert chat.wait(PATIENCE)
    assert "half an ans" in shown(chat)
    assert "what now?" not in shown(chat)


def test_messages_can_be_set_and_cleared(chat: Chat, fake: FakeOllama) -> None:
    chat.messages = [
        {"role": "user", "content": "old <i>question</i>"},
        {"role": "assistant", "content": "old **answer**"},
    ]
    assert "old &lt;i&gt;question" in shown(chat)
    assert "<strong>answer</strong>" in "".join(part.value for part in html_of(chat))
    button(chat, "Clear").click()
    assert chat.messages == []
    assert "old" not in shown(chat)
    assert "Ask something" in shown(chat)


def test_no_model_is_said(fake: FakeOllama) -> None:
    fake.models = []
    chat = Chat(host=fake.host)
    chat.ask("hi")
    assert chat.status == "The server has no model yet: pull one first."
    fake.models = ["new:1b"]
    fake.says("ok")
    chat.ask("hi")
    assert chat.wait(PATIENCE)
    assert (chat.model, len(chat.messages)) == ("new:1b", 2)
    chat.close()


def test_a_model_that_is_not_listed_stays_chosen(fake: FakeOllama) -> None:
    chat = Chat("mine:1b", host=fake.host)
    assert (chat.model, field(chat, "Model").value) == ("mine:1b", "mine:1b")
    seen: list[str] = []
    chat.observe(lambda change: seen.append(change["new"]), "model")
    fake.models = ["a:1", "mine:1b"]
    chat.refresh()
    assert seen == []
    chat.close()


# ---- a model's Markdown ---------------------------------------------------------------------------------------------

ALLOWED = {
    *("p", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li", "hr", "br", "a"),
    *("table", "thead", "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"),
}


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_harmless(text: str) -> None:
    for tag, attributes in Tags(prose(text)).found:
        assert tag in ALLOWED
        assert set(attributes) <= {"href", "target", "rel", "style", "start"}, attributes
        assert (attributes.get("href") or "https://").lower().startswith(("http://", "https://", "mailto:"))
        assert re.fullmatch(r"(text-align:\s*\w+;?)?|white-space: pre-wrap", attributes.get("style") or "")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1)) [x](JaVaScRiPt:alert(1)) [x](java\nscript:alert(1)) [x](data:text/html,hi)",
        "![x](https://spy.example/x.png)",
        "[x]: javascript:alert(1)\n\n[x]",
        '[a](https://x" onmouseover="alert(1))',
        "<https://ok.example> <javascript:alert(1)>",
        "```html\n<script>alert(1)</script>\n```",
        '```"><script>alert(1)</script>\nx\n```',
        "| a | b |\n|---|:-:|\n| <b>x</b> | y |",
        "> " * 3000 + "x",
        "*" * 3000 + "[" * 3000,
    ],
)
def test_prose_can_neither_run_nor_load_anything(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*"<>[]()!`*_\"'&:/ \nax=", "javascript:", "<img ", "onerror", "](", "```", "https://"]))
)
def test_no_mixture_gets_through(parts: list[str]) -> None:
    assert_harmless("".join(parts))


# ---- Pull ---------------------------------------------------------------------------------------------------------


def test_pull_cancel_and_go_on(pull: Pull, fake: FakeOllama) -> None:
    fake.stalls_at = fake.BLOB // 2
    field(pull, "Name").value = "tiny:1b"
    button(pull, "Pull").click()
    until(lambda: "49 MB of 98 MB" in shown(pull))
    assert pull.busy
    button(pull, "Cancel").click()
    assert pull.wait(PATIENCE)
    assert fake.closed.wait(PATIENCE)
    assert pull.status == "Cancelled at 49 MB of 98 MB. Pull it again to go on from there."
    fake.goes_on.set()
    press_enter(field(pull, "Name"))
    assert pull.wait(PATIENCE)
    assert pull.status.startswith("Pulled tiny:1b: 98 MB in ")
    assert pull.models == ["smollm2:135m", "tiny:1b"]


def test_a_refused_pull_is_one_line(pull: Pull, fake: FakeOllama) -> None:
    fake.verbs["/api/pull"] = [status("pulling manifest"), {"error": f"file does not exist {KEY}"}]
    pull.pull("nosuch")
    assert pull.wait(PATIENCE)
    assert pull.status == "file does not exist •••"
    pull.value = " "
    pull.pull()
    assert pull.status.startswith("Which model?")


def test_delete_asks_first(pull: Pull, fake: FakeOllama) -> None:
    fake.models = ["a:1", "<b>:2"]
    button(pull, "Refresh").click()
    assert "&lt;b&gt;:2" in shown(pull)
    button(pull, "Delete").click()
    assert "Delete a:1 (98 MB)?" in shown(pull)
    assert fake.bodies("/api/delete") == []
    keep = button(pull, "Keep")
    keep.click()
    assert button(pull, "Delete") is keep, "the keyboard's focus stays where it is"
    assert "Delete a:1" not in shown(pull)
    button(pull, "Delete").click()
    button(pull, "Delete").click()
    assert pull.models == ["<b>:2"]
    assert pull.status == "Deleted a:1."
    assert fake.bodies("/api/delete") == [{"model": "a:1"}]


def test_a_model_that_cannot_be_unloaded_can_be_deleted(pull: Pull, fake: FakeOllama) -> None:
    fake.verbs["/api/generate"] = [{"error": "damaged"}]
    pull.delete("smollm2:135m")
    assert (pull.models, pull.status) == ([], "Deleted smollm2:135m.")


def test_an_empty_store_says_what_to_do(fake: FakeOllama) -> None:
    fake.models = []
    pull = Pull(host=fake.host)
    assert "No models yet. Pull one above." in shown(pull)
    pull.close()


# ---- ModelfileBuilder ---------------------------------------------------------------------------------------------


def test_fields_write_the_text(builder: ModelfileBuilder) -> None:
    assert builder.value == "FROM smollm2:135m\n"
    field(builder, "System").value = "You are Mario.\nBe brief."
    field(builder, "Template").value = "{{ .Prompt }}"
    field(builder, "Parameter").value = "num_ctx"
    button(builder, "Add").click()
    field(builder, "num_ctx").value = 2048
    assert builder.value == (
        'FROM smollm2:135m\nTEMPLATE {{ .Prompt }}\nSYSTEM "You are Mario.\nBe brief."\nPARAMETER num_ctx 2048\n'
    )
    button(builder, "Remove").click()
    assert "PARAMETER" not in builder.value
    assert builder.problem == ""


def test_the_text_fills_the_fields_and_keeps_what_has_none(builder: ModelfileBuilder) -> None:
    builder.value = (
        "FROM other:1b\n# a comment\nPARAMETER stop a\nPARAMETER stop b\nPARAMETER temperature 0.5\n"
        "PARAMETER use_mmap false\nMESSAGE user hi\nSYSTEM old\n"
    )
    assert field(builder, "Base").value == "other:1b"
    assert field(builder, "System").value == "old"
    assert field(builder, "temperature").value == 0.5
    assert field(builder, "use_mmap").value is False
    field(builder, "System").value = "new"
    assert builder.value == (
        "FROM other:1b\nSYSTEM new\nPARAMETER stop a\nPARAMETER stop b\nPARAMETER temperature 0.5\n"
        "PARAMETER use_mmap false\nMESSAGE user hi\n"
    )


def test_a_mistake_in_the_text_is_shown_with_its_line(builder: ModelfileBuilder) -> None:
    builder.value = "FROM x\nSYSTEM kept\n\nPARAMETER temperature hot\n"
    assert builder.problem == "Line 4: invalid float value [hot]"
    assert "Line 4: invalid float value [hot]" in shown(builder)
    assert button(builder, "Create").disabled
    builder.value = builder.value.replace("hot", "0.5")
    assert builder.problem == ""
    assert not button(builder, "Create").disabled
    assert field(builder, "System").value == "kept"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No FROM line"),
        ("FROM x\n\nSISTEM y\n", "Line 3: command must be one of"),
        ('FROM x\nSYSTEM "a\nb\n', "Line 2: unexpected EOF"),
        ("FROM x\nPARAMETER bogus 1\n", "Line 2: unknown parameter 'bogus'"),
        ("FROM x\nPARAMETER top_p 7\n", 'Line 2: option "top_p" must be between 0 and 1'),
        ("FROM x\nPARAMETER num_ctx\n", "Line 2: unexpected EOF: num_ctx"),
        ("FROM x\nMESSAGE bot hi\n", "Line 2: message role must be"),
        ("FROM x\nREQUIRES soon\n", "Line 2: requires must be"),
        ("FROM x\nPARAMETER stop [INST]\nREQUIRES v0.14.0\n", ""),
    ],
)
def test_problems_have_lines(text: str, said: str) -> None:
    assert problem(text).startswith(said)
    assert bool(problem(text)) == bool(said)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_has_a_field(builder: ModelfileBuilder, name: str) -> None:
    field(builder, "Parameter").value = name
    button(builder, "Add").click()
    assert field(builder, name)
    assert builder.problem == ""
    assert builder.value.splitlines()[1:] == [] or name != "stop"
    field(builder, name).value = {str: "x", bool: False}.get(type(field(builder, name).value), 1)
    assert builder.value.splitlines()[1].startswith(f"PARAMETER {name} ")
    assert builder.problem == ""


printable = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126) | st.just("\n"), max_size=30)


@settings(max_examples=200, deadline=None)
@given(printable.filter(lambda text: text.strip() == text and text and '"""' not in text and not text.endswith('"')))
def test_every_system_prompt_survives_the_text(system: str) -> None:
    assert Recipe.read(str(Recipe("x", system))).system == system


def test_create_shows_progress_and_ends_in_a_line(builder: ModelfileBuilder, fake: FakeOllama) -> None:
    button(builder, "Create").click()
    assert builder.status == "Give the new model a name."
    field(builder, "Name").value = "mario"
    field(builder, "Weights").value = "Q4_K_M"
    field(builder, "System").value = "You are Mario."
    button(builder, "Create").click()
    assert builder.wait(PATIENCE)
    assert builder.status == "Created mario. Ask it in a cell that begins with %%ollama mario"
    (body,) = fake.bodies("/api/create")
    assert (body["model"], body["from"], body["system"]) == ("mario", "smollm2:135m", "You are Mario.")
    assert body["quantize"] == "Q4_K_M"
    assert "mario" in [value for _, value in field(builder, "Base").options]
    builder.value = "FROM mario\n"
    assert builder.status == "", "it spoke of another text"


def test_a_refused_create_is_one_line(builder: ModelfileBuilder, fake: FakeOllama) -> None:
    fake.verbs["/api/create"] = [{"error": "unsupported quantization type"}]
    builder.name = "mario"
    builder.create()
    assert builder.wait(PATIENCE)
    assert builder.status == "unsupported quantization type"
