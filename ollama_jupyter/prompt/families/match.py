"""Which built-in template a GGUF's own stands for: found by its marks, and believed when it writes the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.messages import Message
from ollama_jupyter.prompt.families.table import FAMILIES, Family
from ollama_jupyter.prompt.gomodes import render_messages

_SYSTEM = Message("system", "You are terse & exact.")
_ASK, _ANSWER, _MORE = Message("user", "What is <1>?"), Message("assistant", "It is one."), Message("user", "And\ntwo?")
_PROBES: tuple[tuple[Message, ...], ...] = (
    (_ASK,),
    (_SYSTEM, _ASK),
    (_ASK, _ANSWER, _MORE),
    (_SYSTEM, _ASK, _ANSWER, _MORE),
)
_OPEN: tuple[Message, ...] = (_ASK, _ANSWER)  # an answer to be continued


def autodetect(chat_template: str, *, bos: str = "", eos: str = "") -> Family | None:
    """The family whose template makes the same prompts as a GGUF's Jinja template, or None.

    A template that also knows tools or thinking is left to speak for itself, unless the family's knows them as well and
    writes them alike: nothing that a model can do is lost.

    Args:
        bos, eos: the texts of these tokens, from the GGUF's header.
    """
    candidates = [one for one in FAMILIES if all(mark in chat_template for mark in one.marks)]
    candidates.sort(key=lambda one: -sum(map(len, one.marks)))
    return next((one for one in candidates if _agrees(one, chat_template, bos, eos)), None)


def _agrees(one: Family, chat_template: str, bos: str, eos: str) -> bool:
    from ollama_jupyter.prompt.jinja import render_chat
    from ollama_jupyter.prompt.select import jinja_capabilities

    # What a Go template writes of tools is spelled otherwise (compact JSON), so none of those is the same.
    if set(jinja_capabilities(chat_template)):
        return False
    try:
        return all(
            render_chat(chat_template, probe, bos=bos, eos=eos).removeprefix(bos)
            == render_messages(one.template, probe)
            for probe in _probes(one)
        )
    except TemplateError:
        return False


def _probes(one: Family) -> Iterable[Sequence[Message]]:
    yield from _PROBES
    if one.name != "chatml":  # Ollama's own text, which closes every answer
        yield _OPEN
