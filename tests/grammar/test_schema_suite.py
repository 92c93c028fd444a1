"""Every schema of the JSON-Schema-Test-Suite gives a valid instance, or a refusal that names the keyword."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import jsonschema
import schema_suite
from drawing import Drawer

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.messages import Format

ANSWERS = 3
"""For each schema."""


def outcomes(schema: dict[str, Any], drawer: Drawer) -> list[str]:
    """Of each answer: valid, length, or what is wrong. "refused" where there is none."""
    try:
        text = drawer.form(Format("schema", schema))
    except BadRequest as error:
        named = re.search(r'field "format": .*"?[$\w]+"? .*at \$', error.message)
        return ["refused" if named else f"unclear: {error.message}"]
    return [outcome(schema, drawer, text, seed) for seed in range(ANSWERS)]


def outcome(schema: dict[str, Any], drawer: Drawer, text: str, seed: int) -> str:
    answer = drawer.draw(text, seed)
    if not answer.finished:
        return "length"
    valid = jsonschema.Draft202012Validator(schema).is_valid(json.loads(answer.text))
    return "valid" if valid else f"invalid: {answer.text}"


def test_every_schema_holds_or_is_refused_by_name(drawer: Drawer) -> None:
    schemas = schema_suite.schemas()
    assert len(schemas) >= 300
    found = {name: outcomes(schema, drawer) for name, schema in schemas}
    wrong = {name: told for name, told in found.items() if not {*told} <= {"valid", "length", "refused"}}
    assert wrong == {}
    counts = Counter(told for all_told in found.values() for told in all_told)
    assert counts["length"] <= 0.05 * counts["valid"], counts
    assert counts["valid"] / ANSWERS >= 0.3 * len(found), counts
