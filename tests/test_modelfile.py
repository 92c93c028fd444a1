"""Modelfiles: the lexing rules and messages of the contract's section 4, and the text that `show` prints."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Message
from ollama_jupyter.modelfile import Command, Modelfile, format_value, parse, parse_parameter, quote

COMMAND_ERROR = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)
ROLE_ERROR = 'message role must be one of "system", "user", or "assistant"'


def commands(text: str | bytes) -> list[tuple[str, str]]:
    return [(command.name, command.args) for command in parse(text).commands]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SYSTEM plain text", ("system", "plain text")),
        ("system lower", ("system", "lower")),
        ("SyStEm\tmixed", ("system", "mixed")),
        ("SYSTEM    wide    gap   ", ("system", "wide    gap")),
        ("SYSTEM a # c", ("system", "a # c")),
        ('SYSTEM "quoted"', ("system", "quoted")),
        ('SYSTEM "  kept  "', ("system", "  kept  ")),
        ('SYSTEM "two\nlines"', ("system", "two\nlines")),
        ('SYSTEM """\nThis is\nmulti.\n"""', ("system", "\nThis is\nmulti.\n")),
        ('SYSTEM """with "quotes" inside"""', ("system", 'with "quotes" inside')),
        ('SYSTEM """"""', ("system", "")),
        ('SYSTEM ""', ("system", "")),
        ("SYSTEM 'single'", ("system", "'single'")),
        (r'SYSTEM "a\"b"', ("system", r"a\"b")),
        ("SYSTEM a\tb", ("system", "a\tb")),
        ("SYSTEM a\u00a0b\u200dc\u0007d", ("system", "abcd")),
        ('SYSTEM "a\u00a0b"', ("system", "ab")),
        ("SYSTEM émoji 🦙", ("system", "émoji 🦙")),
        ("SYSTEM ", ("system", "")),
        ("PARAMETER temperature 0.5", ("temperature", "0.5")),
        ("PARAMETER TopK 4", ("TopK", "4")),
        ('PARAMETER stop "### User:"', ("stop", "### User:")),
        ("MESSAGE user Hey there!", ("message", "user: Hey there!")),
        ("MESSAGE assistant a: b: c", ("message", "assistant: a: b: c")),
        ('MESSAGE system """\nlong\n"""', ("message", "system: \nlong\n")),
        ("ADAPTER ./a.gguf", ("adapter", "./a.gguf")),
        ("DRAFT ./d.gguf", ("draft", "./d.gguf")),
        ("RENDERER qwen3-coder", ("renderer", "qwen3-coder")),
        ("PARSER qwen3", ("parser", "qwen3")),
        ("REQUIRES 0.14.0", ("requires", "0.14.0")),
        ("LICENSE MIT", ("license", "MIT")),
    ],
)
def test_lexing(line: str, expected: tuple[str, str]) -> None:
    assert commands(f"FROM base\n{line}\n") == [("model", "base"), expected]
    assert commands(f"{line}\nFROM base") == [expected, ("model", "base")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("FROM foo", "foo"),
        ("FROM     FOOO BAR    ", "FOOO BAR"),
        ('FROM "FOO  BAR  "', "FOO  BAR  "),
        ("FROM /what/is/the path ", "/what/is/the path"),
        ("FROM a # c", "a # c"),
        ("# a comment\n\n   \t\r\n# FROM x\nFROM y", "y"),
        ("\ufeffFROM bom", "bom"),
        (b"\xef\xbb\xbfFROM bom", "bom"),
        ("FROM utf16".encode("utf-16-le"), None),
        ("\ufeffFROM utf16".encode("utf-16-le"), "utf16"),
        ("\ufeffFROM utf16".encode("utf-16-be"), "utf16"),
    ],
)
def test_from(text: str | bytes, value: str | None) -> None:
    if value is None:  # UTF-16 without its mark is not guessed
        with pytest.raises(BadRequest):
            parse(text)
    else:
        assert commands(text) == [("model", value)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no FROM line"),
        ("PARAMETER temperature 1", "no FROM line"),
        ("# FROM x", "no FROM line"),
        ("FROM foo\nBADCOMMAND x y\n", f"(line 2): {COMMAND_ERROR}"),
        ("\nFROM foo\nBADCOMMAND x y\n", f"(line 3): {COMMAND_ERROR}"),
        ("FROM: foo", f"(line 1): {COMMAND_ERROR}"),
        ("FROM\n", f"(line 2): {COMMAND_ERROR}"),
        ("FROM a\r\nBAD x", f"(line 3): {COMMAND_ERROR}"),
        ("1", "unexpected EOF"),
        ("FROM a\n1 x", f"(line 2): {COMMAND_ERROR}"),
        ("FROM", "unexpected EOF"),
        ("FROM a\nSYS", "unexpected EOF"),
        ("FROM a\nMESSAGE badguy hi", f"(line 2): {ROLE_ERROR}"),
        ("FROM a\nMESSAGE User hi", f"(line 2): {ROLE_ERROR}"),
        ("FROM a\nMESSAGE tool hi", f"(line 2): {ROLE_ERROR}"),
        ("FROM a\nMESSAGE system", "unexpected EOF"),
        ("FROM a\nMESSAGE system\n", "unexpected EOF: system"),
        ("FROM a\nPARAMETER param1\n", "unexpected EOF: param1"),
        ("FROM a\nPARAMETER par-am 1", "unexpected EOF: par"),
        ("FROM a\nPARAMETER param1", "unexpected EOF"),
        ('FROM a\nSYSTEM "', "unexpected EOF"),
        ('FROM a\nSYSTEM "a" b', "unexpected EOF"),
        ('FROM a\nSYSTEM """closed by two""\n', "unexpected EOF"),
        ('FROM a\nSYSTEM """"\n', "unexpected EOF"),
    ],
)
def test_messages_of_errors(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(text)
    assert caught.value.message == message


def test_repeats() -> None:
    file = parse(
        "FROM a\nSYSTEM one\nSYSTEM two\nLICENSE x\nLICENSE y\nPARAMETER stop a\nPARAMETER stop b\n"
        "PARAMETER top_k 1\nPARAMETER top_k 2\nPARAMETER mirostat 1\nMESSAGE user q\nMESSAGE assistant a: b\n"
    )
    assert file.last("system") == "two"
    assert file.all("license") == ["x", "y"]
    assert file.parameters == {"stop": ["a", "b"], "top_k": 2}
    assert file.messages == (Message("user", "q"), Message("assistant", "a: b"))
    assert (file.last("model"), file.last("template"), file.requires) == ("a", "", "")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("temperature", "0.7", 0.7), ("temperature", "1e-1", 0.1), ("temperature", "-.5", -0.5), ("top_k", "+40", 40),
     ("seed", "-1", -1), ("use_mmap", "T", True), ("use_mmap", "0", False), ("stop", "x", ["x"])],
)  # fmt: skip
def test_parameters(name: str, text: str, value: Any) -> None:
    assert parse_parameter(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bogus", "1", "unknown parameter 'bogus'"),
        ("temperature", "x", "invalid float value [x]"),
        ("temperature", "1_0", "invalid float value [1_0]"),
        ("temperature", "1e99", "invalid float value [1e99]"),
        ("temperature", "nan", "invalid float value [nan]"),
        ("top_k", "1.5", "invalid int value [1.5]"),
        ("top_k", "９", "invalid int value [９]"),
        ("seed", "9223372036854775808", "invalid int value [9223372036854775808]"),
        ("use_mmap", "maybe", "invalid bool value [maybe]"),
    ],
)
def test_bad_parameters(name: str, text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        assert parse(f"FROM a\nPARAMETER {name} {text}\n").parameters
    assert caught.value.message == f"(line 2): {message}"


@pytest.mark.parametrize(("text", "version"), [("0.14.0", "0.14.0"), ("v1.2.3-rc1+b", "1.2.3-rc1+b"), ("1.2", "1.2")])
def test_requires(text: str, version: str) -> None:
    assert parse(f"FROM a\nREQUIRES {text}").requires == version


@pytest.mark.parametrize("text", ["x", "1.2.3.4", "01.2.3", "1.2-rc", "vv1"])
def test_requires_must_be_a_version(text: str) -> None:
    with pytest.raises(BadRequest, match="must be a valid semver"):
        assert parse(f"FROM a\nREQUIRES {text}").requires


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("plain", "plain"), ('a "b" c', 'a "b" c'), ("a\nb", '"a\nb"'), (" a", '" a"'), ("a ", '"a "'),
     ('a\n"b"', '"""a\n"b""""'), ("\ta", '"\ta"'), ("", ""), ("a\rb", '"a\rb"'),
     ('"a"', '""""a""""'), ('"', '"""""""')],
)  # fmt: skip
def test_quoting(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (5.0, "5"), (0.5, "0.5"), (1e6, "1e+06"), (1_000_000, "1e+06"), (999_999, "999999"),
     (1_234_567, "1.234567e+06"), (1e-5, "1e-05"), (0.0001, "0.0001"), (-25_000_000, "-2.5e+07"), (0, "0"),
     (True, "true"), (False, "false"), ("a", "a")],
)  # fmt: skip
def test_values_print_as_in_go(value: object, text: str) -> None:
    assert format_value(value) == text


# What survives a round trip: printable runes, blanks, line breaks; not three quotes before a break.
PRINTABLE = st.text(alphabet=st.characters(categories=("L", "N", "P", "S"), include_characters=' \t"'), max_size=20)
TEXT = st.builds(
    lambda lines, end: end.join(lines), st.lists(PRINTABLE, max_size=4), st.sampled_from(["\n", "\r", "\r\n"])
).filter(lambda text: not re.search('"""[\r\n]', text))
NAMES = st.sampled_from(["system", "template", "license", "renderer", "parser", "adapter"])


@given(st.lists(st.tuples(NAMES, TEXT), max_size=6), st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXT)))
def test_text_round_trips(values: list[tuple[str, str]], turns: list[tuple[str, str]]) -> None:
    file = Modelfile(
        (
            Command("model", "base"),
            *(Command(name, text) for name, text in values),
            *(Command("message", f"{role}: {text}") for role, text in turns),
        )
    )
    assert parse(str(file)) == file


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(BadRequest):
        assert any(command.name == "model" for command in parse("FROM a\n" + text).commands)
