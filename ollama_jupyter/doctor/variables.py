"""Checks of the settings: variables that do nothing, that cannot be read, or that nobody knows. Values are not told."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from ollama_jupyter.config import SETTINGS, clean
from ollama_jupyter.reports import Check

# Read by the official client, by installers, or by us in places of their own.
_OTHERS = frozenset({"OLLAMA_API_KEY"})


def checks(env: Mapping[str, str]) -> Iterator[Check]:
    found = [*_unreadable(env), *_unknown(env), *_idle(env)]
    if found:
        yield from found
    else:
        count = sum(setting.env in env for setting in SETTINGS)
        yield Check("settings", "ok", f"{count} set, all understood" if count else "all at their defaults")


def _unreadable(env: Mapping[str, str]) -> Iterator[Check]:
    for setting in SETTINGS:
        text = clean(env.get(setting.env, ""))
        if text and (reason := _reason(setting.parse, text)):
            detail = f"{setting.env} cannot be read ({reason}), so its default holds"
            yield Check("settings", "warn", detail, f"unset {setting.env}")


def _reason(parse: object, text: str) -> str:
    """Why a text is refused, without the text itself."""
    assert callable(parse)
    try:
        parse(text)
    except (ValueError, OverflowError) as error:
        return str(error) if str(error).startswith("must ") else "not of its form"
    return ""


def _unknown(env: Mapping[str, str]) -> Iterator[Check]:
    known = {setting.env for setting in SETTINGS} | _OTHERS
    for name in sorted(env):
        if name.startswith("OLLAMA_") and name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.8)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield Check("settings", "warn", f"{name} is no setting of this program{hint}", f"unset {name}")


def _idle(env: Mapping[str, str]) -> Iterator[Check]:
    for setting in SETTINGS:
        if setting.later and clean(env.get(setting.env, "")):
            yield Check("settings", "warn", f"{setting.env}: {setting.later}", f"unset {setting.env}")
