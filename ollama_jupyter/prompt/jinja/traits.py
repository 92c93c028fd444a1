"""What shape of conversation a chat template takes, found out by rendering small ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ollama_jupyter.errors import TemplateError
from ollama_jupyter.prompt.jinja.run import render
from ollama_jupyter.prompt.limits import Budget

_STEPS = 50_000
_SYSTEM, _USER, _KEY, _VALUE = "probe-system-5d1c", "probe-user-88e0", "probe_key_b2", "probe-value-4f"
_JSON = re.compile(rf'"{_KEY}":\s*"{_VALUE}"')
_NINE = re.compile(r"(?:length|count)\s*\)?\s*!=\s*9\b")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a template takes.

    Args:
        system: it has a place for system messages.
        text: contents are texts; else they are lists of parts.
        objects: the arguments of tool calls are objects; else they are JSON texts.
        short_ids: the ids of tool calls must be nine letters and digits.
        tools_list: without tools it wants an empty list; else None.
    """

    system: bool = True
    text: bool = True
    objects: bool = True
    short_ids: bool = False
    tools_list: bool = False


@lru_cache(maxsize=128)
def traits(source: str) -> Traits:
    """The traits of a template. One that cannot be found out is as most templates have it."""
    probe = _Probe(source)
    plain = [_turn("user", _USER)]
    if not probe.shows(plain, _USER):
        with_list = _Probe(source, [])
        probe = with_list if with_list.shows(plain, _USER) else probe
    text = probe.shows(plain, _USER) or not probe.shows([_turn("user", _parts(_USER))], _USER)
    return Traits(
        system=probe.takes_system(text),
        text=text,
        objects=probe.takes_objects(),
        short_ids=bool(_NINE.search(source)),
        tools_list=probe.tools is not None,
    )


@dataclass(frozen=True, slots=True)
class _Probe:
    """A template with what stands for no tools."""

    source: str
    tools: list[Any] | None = None

    def takes_system(self, text: bool) -> bool:
        def turn(role: str, content: str) -> dict[str, Any]:
            return _turn(role, content if text else _parts(content))

        with_system = [turn("system", _SYSTEM), turn("user", _USER)]
        return self.shows(with_system, _SYSTEM) or not self.shows([turn("user", _USER)], _USER)

    def takes_objects(self) -> bool:
        if "arguments" not in self.source:
            return True
        given = {_KEY: _VALUE}
        objects, texts = (self.rendered(_calling(form)) for form in (given, f'{{"{_KEY}": "{_VALUE}"}}'))
        if _JSON.search(objects):
            return True
        # A template may also take objects apart and write them in another way than JSON; Python's is an accident.
        wrote_python = f"'{_KEY}'" in objects or _VALUE not in objects
        return not (wrote_python and _JSON.search(texts))

    def shows(self, messages: list[dict[str, Any]], text: str) -> bool:
        return text in self.rendered(messages)

    def rendered(self, messages: list[dict[str, Any]]) -> str:
        names = {"messages": messages, "bos_token": "", "eos_token": "", "tools": self.tools}
        try:
            return render(self.source, {**names, "add_generation_prompt": True}, Budget(steps=_STEPS))
        except (TemplateError, RecursionError):
            return ""


def _calling(arguments: Any) -> list[dict[str, Any]]:
    call = {"type": "function", "id": "call00001", "function": {"name": "probe", "arguments": arguments}}
    asks = {"role": "assistant", "content": "", "tool_calls": [call]}
    answer = {"role": "tool", "content": "1", "name": "probe", "tool_call_id": "call00001"}
    return [_turn("user", _USER), asks, answer, _turn("assistant", "done"), _turn("user", _USER)]


def _turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]
