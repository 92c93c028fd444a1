"""Chat templates under suspicion. They are strangers' programs that stand between people and their model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.library.scan.texts import instructions, invisible, is_prose, listed, quoted
from ollama_jupyter.prompt.gotemplate.survey import survey as survey_go
from ollama_jupyter.prompt.jinja.survey import survey as survey_jinja
from ollama_jupyter.prompt.survey import Condition, Survey
from ollama_jupyter.reports import Finding, Level

LONG_LITERAL = 8192
LONG_LOOP = 10_000
HUGE_NUMBER = 10_000_000
DEEP = 5

# Marks of a conversation's form, which templates look for in messages: `<think>`, `[TOOL_CALLS]`, `/no_think`, `{`.
_FORM = re.compile(r"\s*[^A-Za-z\s]")


def jinja(where: str, source: str) -> Iterator[Finding]:
    """What a Jinja template of a GGUF does that it should not."""
    yield from invisible(where, source)
    yield from _surveyed(where, source, survey_jinja)


def go(where: str, source: str) -> Iterator[Finding]:
    """What a Go template does that it should not."""
    yield from invisible(where, source)
    yield from _surveyed(where, source, survey_go)


def _surveyed(where: str, source: str, survey: Callable[[str], Survey]) -> Iterator[Finding]:
    try:
        found = survey(source)
    except TemplateError as error:
        yield Finding("warning", where, f"cannot be read: {error.message}", "chats with this model will fail")
    except RecursionError:
        yield Finding("warning", where, "is nested too deeply to be looked through", "honest templates are not")
    else:
        yield from _reaching(where, found)
        yield from _common(where, found)


def _reaching(where: str, found: Survey) -> Iterator[Finding]:
    inner = [name for name in found.reaches if name.startswith("__")]
    why = "this is how a template takes over a program that runs it with less care than this one"
    if inner:
        yield Finding("danger", where, f"reaches for {listed(inner)}", why)
    if others := [name for name in found.reaches if name not in inner]:
        yield Finding("warning", where, f"uses {listed(others)}, which no conversation has", why)
    if found.foreign:
        yield Finding("danger", where, f"would read other files ({listed(found.foreign)})", "a template needs none")


def _common(where: str, found: Survey) -> Iterator[Finding]:
    yield from _conditions(where, found.conditions)
    yield from _effort(where, found)
    # A text may be spread over several writes, so they are looked at together, and each on its own.
    whole = "".join(found.fixed)
    told = list(instructions(where, whole)) or list(instructions(where, "\n".join(found.hidden)))
    yield from told
    prose = [text for text in found.fixed if is_prose(text, 12)]
    if prose and not told:
        why = "it stands in prompts without being in the conversation; usual for default system prompts and tools"
        yield Finding("info", where, f"writes texts of its own, such as {quoted(prose[0])}", why)


def _conditions(where: str, conditions: list[Condition]) -> Iterator[Finding]:
    seen: set[tuple[str, ...]] = set()
    for condition in conditions:
        literals = tuple(dict.fromkeys(text for text in condition.literals if _is_about_meaning(text)))
        if condition.on == "date":
            yield Finding("warning", where, "acts differently on some dates", "a trap can wait for its day")
        elif literals and literals not in seen:
            seen.add(literals)
            yield _on_content(where, literals, condition.writes)


def _is_about_meaning(text: str) -> bool:
    """Whether a text that is looked for in messages is something that people say, and no mark of a form."""
    return is_prose(text, 1) and not _FORM.match(text)


def _on_content(where: str, literals: tuple[str, ...], writes: str) -> Finding:
    what = f"acts differently where a message has {listed(quoted(text, 40) for text in literals)}"
    if is_prose(writes, 4):
        why = "the model is told things that nobody wrote, and only in the conversations that somebody chose"
        return Finding("danger", where, f"{what}, and then writes {quoted(writes)}", why)
    # One word alone may be the name of a part: contents are not always texts.
    level: Level = "warning" if any(is_prose(text, 2) for text in literals) else "info"
    return Finding(level, where, what, "conversations should be passed to the model as they are")


def _effort(where: str, found: Survey) -> Iterator[Finding]:
    why = "it may be meant to keep the server busy; its run is limited here"
    if found.longest_loop > LONG_LOOP:
        yield Finding("warning", where, f"repeats something {found.longest_loop} times", why)
    elif found.largest_number > HUGE_NUMBER:
        yield Finding("warning", where, f"uses the number {found.largest_number}", why)
    if found.depth > DEEP:
        yield Finding("warning", where, f"has loops inside loops, {found.depth} deep", why)
    if found.recursive:
        yield Finding("info", where, "has a part that calls itself", why)
    longest = max(map(len, [*found.hidden, *found.fixed]), default=0)
    if longest > LONG_LITERAL:
        yield Finding("warning", where, f"holds a text of {longest} characters", "it fills the model's window")
