"""A model's Markdown made fit for a trusted page.

Jupyter renders `text/markdown` of a cell that the user ran with its raw HTML, links and images live. What a model
writes is a stranger's text, so before it is shown:

- what could open an HTML tag is shown as text, except in code, where it is text already;
- links keep only harmless schemes; images become links (loading one would tell its host what was read);
- code is written anew in a form that every renderer reads alike. A parser that merely *guessed* where the renderer
  sees code could be led to leave a tag alone that the renderer then runs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)$")
_LANGUAGE = re.compile(r"[\w+#.-]*")
_INLINE = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<ticks>`+)"
    r"|(?P<tag><(?=[A-Za-z/!?]))"
    r"|(?P<image>!(?=\[))"
    r"|(?P<target>\](?P<joint>\(\s*|:\s*)(?=<?(?P<url>[^\s)>]*)))"
    r"|(?P<dollar>\$+)"
)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")  # browsers skip them when they read a scheme
_HARMLESS = ("http:", "https:", "mailto:")
_RISKY = re.compile(r"<[A-Za-z/!?]|!\[|\]\s*[(:]")
# What a terminal obeys instead of showing: all control characters but tab and newline.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], "\ufffd")


def safe_text(text: str) -> str:
    """`text` without control characters that a terminal would act on."""
    return text.replace("\r\n", "\n").translate(_CONTROLS)


def safe_markdown(text: str) -> str:
    """`text` as Markdown that renders the same but can neither run nor load anything. Open code blocks are closed."""
    return "".join(_code_block(*part) if isinstance(part, tuple) else _prose(part) for part in _split(safe_text(text)))


def _split(text: str) -> Iterator[str | tuple[str, str, str]]:
    """Prose as strings, and code blocks as (indent, info, content)."""
    prose: list[str] = []
    lines = iter(re.split(r"(?<=\n)", text))
    for line in lines:
        opening = _FENCE.match(line.rstrip("\n"))
        if opening is None:
            prose.append(line)
            continue
        yield "".join(prose)
        prose = []
        yield opening["indent"], opening["info"], "".join(_until_closed(lines, opening["fence"]))
    yield "".join(prose)


def _until_closed(lines: Iterator[str], fence: str) -> Iterator[str]:
    for line in lines:
        mark = line.strip()
        if len(mark) >= len(fence) and not mark.strip(fence[0]):
            return
        yield line


def _code_block(indent: str, info: str, content: str) -> str:
    """A block at the margin, between blank lines, with a fence longer than any in it: nobody reads that differently."""
    dedented = "".join(line.removeprefix(indent) for line in re.split(r"(?<=\n)", content))
    longest = max((len(run) for run in re.findall("`+", dedented)), default=0)
    fence = "`" * max(3, longest + 1)
    language = _LANGUAGE.match(info.strip())
    body = dedented if not dedented or dedented.endswith("\n") else dedented + "\n"
    return f"\n\n{fence}{language[0] if language else ''}\n{body}{fence}\n\n"


def _prose(text: str) -> str:
    return "".join(_line(line) for line in re.split(r"(?<=\n)(?=[ \t]*\n)", text))


def _line(text: str) -> str:
    """A paragraph's worth of prose, so that neither code spans nor formulas reach across blank lines."""
    out: list[str] = []
    position, in_formula = 0, False
    while match := _INLINE.search(text, position):
        out.append(text[position : match.start()])
        position = match.end()
        kind = match.lastgroup
        if match["ticks"]:
            span, position = _code_span(text, match)
            out.append(span)
        elif match["tag"]:
            # In a formula an entity would be read as TeX; a space is harmless in both worlds.
            out.append("< " if in_formula else "&lt;")
        elif match["image"]:
            out.append("\\!")
        elif match["target"]:
            out.append(_target(match))
        elif match["dollar"]:
            in_formula = not in_formula
            out.append(match[0])
        else:
            assert kind == "escape"
            out.append("&lt;" if match[0] == "\\<" else match[0])
    out.append(text[position:])
    return "".join(out)


def _code_span(text: str, opening: re.Match[str]) -> tuple[str, int]:
    """The span that opens here and where it ends. A risky one is spelled out as HTML of ours, all in entities."""
    ticks = opening["ticks"]
    line_end = text.find("\n", opening.end())
    rest = text[opening.end() : line_end if line_end >= 0 else len(text)]
    closing = re.search(rf"(?<!`){ticks}(?!`)", rest)
    if closing is None:
        return ticks, opening.end()
    content, end = rest[: closing.start()], opening.end() + closing.end()
    if not _RISKY.search(content):
        return text[opening.start() : end], end
    entities = "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in content.strip())
    return f"<code>{entities}</code>", end


def _target(match: re.Match[str]) -> str:
    """The `](` or `]:` before a link's address, broken up if the address could run something."""
    address = html.unescape(_ESCAPED.sub(r"\1", html.unescape(match["url"])))
    scheme = _SCHEME.match(_INVISIBLE.sub("", address).lower())
    if scheme is None or scheme[0] in _HARMLESS:
        return match[0]
    return "]\\" + match["joint"]
