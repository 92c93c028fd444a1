"""Refusals of a grammar, told in terms of the schema that it was made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.grammar.schema import locate
from ollama_jupyter.messages import Format, Tool

MAX_REASON = 300
"""Characters of llguidance's own words: some errors quote all of a pattern."""

# What llguidance says of a schema that it refuses, and the keywords that this may be about.
_CAUSES = (
    (r'Unimplemented keys: \["([^"]+)"', ()),
    (r"schema is false", ("false",)),
    (r"required property", ("required",)),
    (r"oneOf", ("oneOf",)),
    (r"min/maxProperties", ("minProperties", "maxProperties")),
    (r"patternProperty", ("patternProperties",)),
    (r"multipleOf", ("multipleOf",)),
    (r"relevance of lexemes", ("multipleOf", "pattern")),
    (r"minimum|float range|integer range|out of range", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    (r"min(Length|Items)", ("minLength", "minItems")),
    (r"anyOf is empty", ("anyOf", "oneOf", "enum")),
    (r"regex|look-around", ("pattern", "format", "patternProperties")),
    (r"Pointer|Resource|\$ref|NoExtension", ("$ref",)),
    (r"allOf|intersect|too large|Unsatisfiable", ("allOf", "anyOf", "oneOf", "$ref", "required")),
    (r"", ("maxItems", "minItems", "enum", "properties", "$ref", "pattern", "type")),
)


def explain(error: BadRequest, form: Format | None, tools: Sequence[Tool]) -> BadRequest:
    """The refusal of a grammar, with the keyword and the path that it is about as far as they can be told."""
    reason = " ".join(error.message.split())[:MAX_REASON]
    for pattern, keywords in _CAUSES:
        if match := re.search(pattern, error.message):
            for keyword in keywords or match.groups():
                for field, schema in _schemas(form, tools):
                    if path := locate(schema, keyword):
                        return BadRequest(
                            f'field "{field}": the keyword "{keyword}" at {path} cannot be held: {reason}'
                        )
    return BadRequest(f'field "format": the answer cannot be held to it: {reason}')


def _schemas(form: Format | None, tools: Sequence[Tool]) -> list[tuple[str, Any]]:
    """The schemas of a request and the fields that they come from."""
    found = [("format", form.value)] if form is not None and form.kind == "schema" else []
    functions = [tool.get("function") or {} for tool in tools]
    return found + [(f"tools.{each.get('name', '')}.parameters", each.get("parameters") or {}) for each in functions]
