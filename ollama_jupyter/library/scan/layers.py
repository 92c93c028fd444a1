"""The small layers of a model under suspicion: parameters, texts, messages, the config."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from ollama_jupyter.errors import InvalidOption
from ollama_jupyter.library.scan.templates import go
from ollama_jupyter.library.scan.texts import addresses, instructions, invisible, listed, shortened
from ollama_jupyter.messages import OPTIONS, check_option
from ollama_jupyter.reports import Finding

CONFIG = "config"
ROLES = ("system", "user", "assistant", "tool")
LONG_LICENSE = 256 << 10

Scan = Callable[[str], Iterator[Finding]]


def _template(text: str) -> Iterator[Finding]:
    return go("template", text)


def _system(text: str) -> Iterator[Finding]:
    yield from invisible("system prompt", text)
    yield from instructions("system prompt", text)


def _license(text: str) -> Iterator[Finding]:
    yield from invisible("license", text)
    if len(text) > LONG_LICENSE:
        yield Finding("warning", "license", f"{len(text)} characters", "no license is that long")


def _params(text: str) -> Iterator[Finding]:
    values = json.loads(text)
    if not isinstance(values, Mapping):
        yield Finding("warning", "parameters", "are no object", "requests to this model will fail")
        return
    for name, value in values.items():
        if name in OPTIONS and value is not None:
            yield from _option(name, value)
    if unknown := [shortened(name, 40) for name in values if name not in OPTIONS]:
        yield Finding("info", "parameters", f"unknown ones: {listed(unknown)}", "not acted on")


def _option(name: str, value: object) -> Iterator[Finding]:
    try:
        check_option(name, value)
    except InvalidOption as error:
        yield Finding("warning", "parameters", shortened(error.message, 200), "requests to this model will fail")
    if name == "stop" and isinstance(value, list):
        yield from invisible("parameter stop", "\n".join(item for item in value if isinstance(item, str)))


def _messages(text: str) -> Iterator[Finding]:
    messages = json.loads(text)
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        yield Finding("warning", "messages", "are no list of messages", "requests to this model will fail")
        return
    if odd := sorted({str(message.get("role")) for message in messages} - {*ROLES}):
        what = f"have unusual roles: {listed(shortened(role, 40) for role in odd)}"
        yield Finding("warning", "messages", what, "templates may write them anywhere in the prompt")
    whole = "\n".join(str(message.get("content") or "") for message in messages)
    yield from invisible("messages", whole)
    yield from instructions("messages", whole)


def _config(text: str) -> Iterator[Finding]:
    config = json.loads(text)
    if not isinstance(config, Mapping):
        yield Finding("warning", CONFIG, "is no object", "the model will not be known for what it is")
        return
    if host := config.get("remote_host"):
        what = f"asks to be run at {shortened(str(host), 100)}"
        yield Finding("warning", CONFIG, what, "conversations would be read there; this program never sends them")
    others = [value for key, value in config.items() if isinstance(value, str) and key != "remote_host"]
    if named := [found for value in others for found in addresses(value)]:
        yield Finding("info", CONFIG, f"names addresses: {listed(named)}", "nothing is fetched from them")


SCANS: Mapping[str, Scan] = {
    CONFIG: _config,
    "template": _template,
    "prompt": _template,
    "system": _system,
    "license": _license,
    "params": _params,
    "messages": _messages,
}
"""By the role of the layer."""


def scan_text(role: str, raw: bytes) -> Iterator[Finding]:
    """What is odd about a small layer. A role that has no texts has no findings."""
    scan = SCANS.get(role)
    if scan is None:
        return
    try:
        yield from scan(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        yield Finding("warning", role, "cannot be read", "requests to this model will fail")
