"""The parts of the conversation that need no terminal, by tables."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.cli.repl import media
from ollama_jupyter.cli.repl.cut import Cut
from ollama_jupyter.cli.repl.editor import command
from ollama_jupyter.cli.repl.quotes import is_open, unquoted
from ollama_jupyter.cli.repl.session import parse_format
from ollama_jupyter.cli.repl.timings import timings
from ollama_jupyter.cli.repl.wrap import WordWrap, cells
from ollama_jupyter.cli.run import parse_think
from ollama_jupyter.client.errors import OllamaError

# ---- words --------------------------------------------------------------------------------------------------------


def screen(sent: str) -> list[str]:
    """What a terminal shows of it: text, line breaks, and taking back to the left."""
    lines = [""]
    for back, text in re.findall(r"\x1b\[(\d+)D\x1b\[K|(.)", sent, re.DOTALL):
        if back:
            kept = lines[-1]
            while kept and sum(map(cells, lines[-1][len(kept) :])) < int(back):
                kept = kept[:-1]
            lines[-1] = kept
        elif text == "\n":
            lines.append("")
        else:
            lines[-1] += text
    return lines


def wrapped(text: str, width: int, piece: int = 1) -> list[str]:
    wrap = WordWrap(lambda: width)
    return screen("".join(wrap.feed(text[at : at + piece]) for at in range(0, len(text), piece)))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four", ["one two ", "three four"]),
        ("exactly 10", ["exactly 10"]),
        ("exactly 10 more", ["exactly 10", "more"]),
        ("a\nb", ["a", "b"]),
        ("unbreakable-word", ["unbreakabl", "e-word"]),
        ("so unbreakable-word", ["so ", "unbreakabl", "e-word"]),
        ("日本語日本語日", ["日本語日本", "語日"]),
        ("ab日本語日本語", ["ab日本語日", "本語"]),
        ("日本語 word next", ["日本語 ", "word next"]),
        ("a\u0301bcdefghij k", ["a\u0301bcdefghij", "k"]),
        ("", [""]),
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_words_are_moved_to_the_next_line(text: str, lines: list[str], piece: int) -> None:
    assert wrapped(text, 15, piece) == lines  # 15 columns, of which 5 stay free


@given(st.text(alphabet="abc de\n日本é\t", max_size=200), st.integers(10, 40), st.integers(1, 7))
def test_nothing_is_lost_and_no_line_is_too_long(text: str, width: int, piece: int) -> None:
    lines = wrapped(text, width, piece)
    assert "".join(lines).replace(" ", "").replace("\t", "") == re.sub(r"\s", "", text)
    if "\t" not in text:
        assert all(sum(map(cells, line)) <= width - 5 for line in lines)


def test_a_very_narrow_terminal_wraps_as_it_likes() -> None:
    assert wrapped("one two three", 9) == ["one two three"]


# ---- quotes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_open_", "message"),
    [
        ("hello", False, "hello"),
        ('"""hello', True, ""),
        ('"""hello"""', False, "hello"),
        ('"""', True, ""),
        ('"""""', True, ""),
        ('""""""', False, ""),
        ('"""\na\n"b"\n"""', False, '\na\n"b"\n'),
        ('"""a""" b', True, ""),
        ('say """this', False, 'say """this'),
        ('/set system """a', True, ""),
        ("/set system a", False, "/set system a"),
        ('/show system """a', False, '/show system """a'),
    ],
)
def test_three_quotes_open_and_close_a_message(text: str, is_open_: bool, message: str) -> None:
    assert is_open(text) is is_open_
    if not is_open_:
        assert unquoted(text) == message


# ---- files --------------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("what is /tmp/a.png?", ["/tmp/a.png"]),
        ("./a.JPG and ./b.jpeg", ["./a.JPG", "./b.jpeg"]),
        (r"see /a\ b/c.webp", [r"/a\ b/c.webp"]),
        ("see /a b/c.webp", ["/a b/c.webp"]),
        (r"c:\my pictures\d.png", [r"c:\my pictures\d.png"]),
        ("c:/x/e.wav", ["c:/x/e.wav"]),
        ("in /tmp and ./cat.png", ["/tmp and ./cat.png", "./cat.png"]),
        ("'/a/b.png'", ["/a/b.png"]),
        ("a.png", []),
        ("/a.pngs /b.svg", []),
        ("/a\n/b.png", ["/b.png"]),
    ],
)
def test_paths_in_a_prompt(text: str, found: list[str]) -> None:
    assert list(media.paths(text)) == found


@pytest.mark.parametrize(
    ("written", "path"),
    [(r"/a\ b\(1\).png", "/a b(1).png"), (r"/it'\''s.png", "/it's.png"), (r"c:\x\y.png", r"c:\x\y.png"), ("/a", "/a")],
)
def test_a_shells_backslashes_go(written: str, path: str) -> None:
    assert media.unescaped(written) == path


@pytest.mark.parametrize("form", ["{}", "'{}'", '"{}"'])
@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.png", PNG, "image"),
        ("a b.jpg", b"\xff\xd8\xff\xe0", "image"),
        ("c.webp", b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        ("d.WAV", b"RIFF\0\0\0\0WAVEfmt ", "audio"),
    ],
)
def test_files_are_taken_out_of_the_prompt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, kind: str, form: str
) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    assert media.extract(f"what is {form.format(file)} here?") == ("what is  here?", [data])
    assert capsys.readouterr().err == f"Added {kind} '{file}'\n"


def test_a_path_with_escaped_blanks(tmp_path: Path) -> None:
    (tmp_path / "my cat.png").write_bytes(PNG)
    assert media.extract(f"{tmp_path}/my\\ cat.png says?") == ("says?", [PNG])


def test_paths_of_nothing_are_words() -> None:
    assert media.extract("write /no/such.png please") == ("write /no/such.png please", [])


@pytest.mark.parametrize(("data", "words"), [(b"text", "invalid file type"), (b"", "invalid file type")])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(OllamaError, match=words):
        media.extract(f"{tmp_path}/a.png")


def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", 10)
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(OllamaError, match="exceeds maximum limit"):
        media.extract(f"{tmp_path}/a.png")


# ---- timings ------------------------------------------------------------------------------------------------------

NOTHING: dict[str, Any] = dict.fromkeys(
    ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration")
)


def test_timings_as_ollama_prints_them() -> None:
    measured = SimpleNamespace(
        total_duration=635103525,
        load_duration=545161579,
        prompt_eval_count=10,
        prompt_eval_duration=50816000,
        eval_count=4,
        eval_duration=34330000,
    )
    assert "\n".join(timings(measured)) == (
        "total duration:       635.103525ms\n"
        "load duration:        545.161579ms\n"
        "prompt eval count:    10 token(s)\n"
        "prompt eval duration: 50.816ms\n"
        "prompt eval rate:     196.79 tokens/s\n"
        "eval count:           4 token(s)\n"
        "eval duration:        34.33ms\n"
        "eval rate:            116.52 tokens/s"
    )


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({}, []),
        ({"total_duration": 0, "eval_count": 0}, []),
        ({"total_duration": 61_500_000_000}, ["total duration:       1m1.5s"]),
        ({"load_duration": 999}, ["load duration:        999ns"]),
        ({"eval_count": 1}, ["eval count:           1 token(s)"]),
    ],
)
def test_timings_of_nothing_have_no_line(fields: dict[str, int], lines: list[str]) -> None:
    assert list(timings(SimpleNamespace(**{**NOTHING, **fields}))) == lines


def test_what_did_not_fit() -> None:
    class Response:
        def iter_lines(self) -> Any:
            yield '{"message":{"content":"\\"truncated\\""},"done":false}'
            yield '{"done":true,"truncated":{"messages":3,"tokens":90,"num_ctx":512}}'

    cut, response = Cut(), Response()
    cut.watch(response)  # type: ignore[arg-type]
    assert str(cut) == ""
    assert len(list(response.iter_lines())) == 2
    assert str(cut) == "warning: 3 earlier message(s) did not fit into the context of 512 tokens"


# ---- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("true", True), ("false", False), ("high", "high"), ("max", "max")]
)
def test_think(text: str, value: object) -> None:
    assert parse_think(text) is value or parse_think(text) == value


@pytest.mark.parametrize(("text", "value"), [("", ""), ("json", "json"), ('{"type":"object"}', {"type": "object"})])
def test_format(text: str, value: object) -> None:
    assert parse_format(text) == value


@pytest.mark.parametrize("text", ["xml", '"json"', "[1]", "{"])
def test_what_is_no_format(text: str) -> None:
    with pytest.raises(OllamaError, match='expected "json" or a valid JSON Schema object'):
        parse_format(text)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ["vi"]),
        ({"EDITOR": "cat"}, ["cat"]),
        ({"EDITOR": "cat", "VISUAL": "sort -r"}, ["sort", "-r"]),
        ({"EDITOR": "cat", "OLLAMA_EDITOR": "'sort -r'"}, ["sort", "-r"]),
        ({"EDITOR": "cat", "OLLAMA_EDITOR": "sh -c 'a b' x"}, ["sh", "-c", "a b", "x"]),
        ({"EDITOR": "it's"}, ["it's"]),
    ],
)
def test_which_editor(env: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert command() == expected


def test_a_missing_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_EDITOR", "no-such-editor --flag")
    with pytest.raises(OllamaError, match='editor "no-such-editor" not found, set OLLAMA_EDITOR to the path of'):
        command()
