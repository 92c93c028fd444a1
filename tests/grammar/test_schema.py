"""What is made of a schema for llguidance: what is refused and how, what is closed, and that random ones hold."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from drawing import Drawer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_jupyter.errors import BadRequest
from ollama_jupyter.grammar.schema import MAX_FIXED, MAX_LENGTH, MAX_STRING, held, locate
from ollama_jupyter.messages import Format

A = {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}
TYPES = '"type" must be one of array, boolean, integer, null, number, object, string'
B = {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


REFUSED: list[tuple[Any, str]] = [
    *(({"properties": {"a": {word: {}}}}, f'the keyword "{word}" is not supported at $.properties.a.{word}')
      for word in ("not", "if", "then", "else", "contains", "propertyNames", "dependentSchemas", "unevaluatedItems",
                   "unevaluatedProperties", "dependencies", "$dynamicRef", "additionalItems")),
    ({"items": {"uniqueItems": True}}, 'the keyword "uniqueItems" is not supported at $.items.uniqueItems'),
    ({"minContains": 1}, 'the keyword "minContains" is not supported at $.minContains'),
    ({"dependentRequired": {}}, 'the keyword "dependentRequired" is not supported at $.dependentRequired'),
    ({"format": "json-pointer"}, 'the "format" json-pointer is not supported at $.format'),
    ({"$ref": "other.json#/a"}, '"$ref" to another document is not supported at $.$ref'),
    ({"$schema": "http://x/meta"}, '"$schema" must be a published draft of JSON Schema at $.$schema'),
    ({"pattern": "(?=a)b"}, 'a "pattern" that looks around or back is not supported at $.pattern'),
    ({"pattern": r"(a)\1"}, 'a "pattern" that looks around or back is not supported at $.pattern'),
    ({"pattern": 3}, '"pattern" must be a string, and is not at $.pattern'),
    ({"type": "strin"}, f"{TYPES}, got 'strin' at $.type"),
    ({"type": ["null", 3]}, f"{TYPES}, got 3 at $.type"),
    ({"required": "a"}, '"required" must be an array, and is not at $.required'),
    ({"required": [1]}, '"required" must be an array of strings at $.required'),
    ({"anyOf": {}}, '"anyOf" must be an array, and is not at $.anyOf'),
    ({"properties": []}, '"properties" must be an object, and is not at $.properties'),
    ({"anyOf": [{}, 3]}, "a schema must be an object or a boolean, and is not at $.anyOf[1]"),
    ({"items": [{}]}, "a schema must be an object or a boolean, and is not at $.items"),
    ({"minLength": "1"}, '"minLength" must be a number at $.minLength'),
    ({"exclusiveMinimum": True}, '"exclusiveMinimum" must be a number at $.exclusiveMinimum'),
    ({"maxItems": -1}, '"maxItems" must be from 0 to 10000 at $.maxItems'),
    ({"maxItems": 10_001}, '"maxItems" must be from 0 to 10000 at $.maxItems'),
    ({"multipleOf": 0}, '"multipleOf" must be from 1e-06 to 10000 at $.multipleOf'),
    ({"maximum": 10**400}, f'"maximum" must be from {1 - 2**63} to {2**63 - 1} at $.maximum'),
    ({"maximum": float("inf")}, "numbers must be finite at $"),
    ({"enum": []}, '"enum" allows nothing at $.enum'),
    ({"const": "x" * MAX_FIXED}, 'a value of "const" is too large at $.const'),
    ({"enum": [json.loads("[" * 60 + "]" * 60)]}, 'a value of "enum" is too large at $.enum'),
    ({"const": "\ud800"}, "half of a surrogate pair is no text at $"),
    ({"title": "x" * MAX_LENGTH}, f"the schema has {MAX_LENGTH + 13} characters, at most {MAX_LENGTH} are taken at $"),
    ({"anyOf": [{}] * 5000}, "the schema has more than 5000 parts at $.anyOf[4999]"),
    ({"$defs": {str(n): {} for n in range(1001)}}, '"$defs" must have at most 1000 members at $.$defs'),
    (nested(49), "the schema is nested deeper than 48 levels at $" + ".items" * 49),
    ({"properties": {"a b": {"not": {}}}}, 'the keyword "not" is not supported at $.properties["a b"].not'),
    (False, "the schema false allows nothing at $"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "told"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_held_is_refused_by_keyword_and_path(schema: Any, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        held(schema, "format")
    assert caught.value.message == f'field "format": {told}'


@pytest.mark.parametrize("value", [None, "object", 3, []], ids=str)
def test_a_schema_is_an_object_or_a_boolean(value: Any) -> None:
    with pytest.raises(BadRequest, match='field "format" must be a JSON Schema: an object'):
        held(value, "format")


def test_a_schema_that_is_nested_beyond_recursion_is_refused() -> None:
    with pytest.raises(BadRequest, match="nested"):
        held(nested(100_000), "format")


@pytest.mark.parametrize(
    "annotated",
    [
        {"title": "T", "description": "d", "default": {"not": {}}, "examples": [1], "$comment": "c"},
        {"deprecated": True, "readOnly": True, "writeOnly": False, "x-order": 3, "example": {"if": 1}},
        {"format": "int64", "uniqueItems": False, "unevaluatedProperties": True},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://x/y", "$anchor": "a"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_annotations_say_nothing(drawer: Drawer, annotated: dict[str, Any]) -> None:
    text = drawer.form(Format("schema", annotated | A))
    assert drawer.allows(text, '{"a": null}')
    assert not drawer.allows(text, "{}")


def test_properties_may_be_named_as_keywords_are(drawer: Drawer) -> None:
    names = ["not", "if", "type", "pattern", "$ref", "format", "enum", "properties"]
    schema = {"type": "object", "properties": {key: {"type": "null"} for key in names}, "required": names}
    text = drawer.form(Format("schema", schema))
    assert drawer.allows(text, json.dumps(dict.fromkeys(names)))


# ---- what is made of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "answer", "allowed"),
    [
        (A, '{"a": null}', True),
        (A, '{"a": null, "z": 1}', False),
        (A, '{"a":null}', False),
        (A, '{\n"a": null}', False),
        (A | {"additionalProperties": True}, '{"a": null, "z": 1}', True),
        (A | {"additionalProperties": {"type": "null"}}, '{"a": null, "z": 1}', False),
        (A | {"required": ["a", "z"]}, '{"a": null, "z": 1}', True),
        ({"allOf": [A, B]}, '{"a": null, "b": null}', True),
        ({"anyOf": [A, B]}, '{"b": null}', True),
        ({"anyOf": [A, B]}, '{"a": null, "z": 1}', False),
        (A | {"anyOf": [B, {"required": ["c"]}]}, '{"a": null, "b": null}', True),
        ({"$defs": {"a": A}, "$ref": "#/$defs/a"}, '{"a": null, "z": 1}', False),
        ({"$defs": {"a": A}, "$ref": "#/$defs/a"} | B, '{"a": null, "b": null}', True),
        ({"$defs": {"a": A}, "allOf": [{"$ref": "#/$defs/a"}, B]}, '{"a": null, "b": null}', True),
        ({"$defs": {"a": A}, "allOf": [{"$ref": "#/$defs/a"}], "description": "x"}, '{"a": null, "z": 1}', False),
        ({"type": "array", "items": A, "maxItems": 2.0}, '[{"a": null}, {"a": null}]', True),
        ({"type": "array", "items": A, "maxItems": 2.0}, '[{"a": null}, {"a": null}, {"a": null}]', False),
        ({"properties": {"t": {"items": {"$ref": "#"}}}}, '{"t": [{"t": []}, {}]}', True),
        ({"type": "string"}, '"x"', True),
        ({"type": ["integer", "null"]}, "null", True),
        (True, '[{"x": 1.5}]', True),
        ({}, "true", True),
    ],
    ids=lambda value: str(value)[:50],
)
def test_objects_are_closed_where_nothing_else_speaks_of_them(
    drawer: Drawer, schema: Any, answer: str, allowed: bool
) -> None:
    assert drawer.allows(drawer.form(Format("schema", schema)), answer) == allowed


def test_properties_come_in_the_order_of_the_schema(drawer: Drawer) -> None:
    names = ["z", "a", "m"]
    schema = {"type": "object", "properties": {key: {"type": "null"} for key in names}, "required": ["m", "a", "z"]}
    assert drawer.draw(drawer.form(Format("schema", schema))).text == '{"z": null, "a": null, "m": null}'


@pytest.mark.parametrize(
    ("schema", "longest"),
    [
        ({"type": "string"}, MAX_STRING),
        ({"type": "string", "maxLength": 9}, 9),
        ({"type": "string", "maxLength": 900}, MAX_STRING),
        ({"type": "string", "minLength": 300}, 300),
    ],
)
def test_strings_are_bounded_when_asked(schema: dict[str, Any], longest: int) -> None:
    assert held(schema, "f", bounded=True)["maxLength"] == longest
    assert held(schema, "f").get("maxLength") == schema.get("maxLength")


def test_keywords_are_located_where_they_are_keywords() -> None:
    schema = {"properties": {"oneOf": {"enum": [{"oneOf": 1}]}, "b": {"items": {"oneOf": [True, False]}}}}
    assert locate(schema, "oneOf") == "$.properties.b.items.oneOf"
    assert locate(schema, "false") == "$.properties.b.items.oneOf[1]"
    assert locate(schema, "allOf") is None


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"oneOf": [{"type": "string"}, {"minLength": 3}]}, '"oneOf" at $.oneOf'),
        ({"minimum": 3, "maximum": 2, "type": "integer"}, '"minimum" at $.minimum'),
        ({"$ref": "#"}, '"$ref" at $.$ref'),
        ({"$ref": "#/$defs/none"}, '"$ref" at $.$ref'),
        ({"allOf": [True, False]}, '"false" at $.allOf[1]'),
        ({"patternProperties": {"a*": {}, "aa*": {}}}, '"patternProperties" at $.patternProperties'),
        ({"pattern": "("}, '"pattern" at $.pattern'),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1, "maxProperties": 1}, "Properties"),
    ],
    ids=str,
)
def test_what_llguidance_refuses_is_told_by_keyword_and_path(drawer: Drawer, schema: Any, keyword: str) -> None:
    with pytest.raises(BadRequest) as caught:
        drawer.form(Format("schema", schema))
    assert caught.value.message.startswith('field "format": the keyword "')
    assert keyword in caught.value.message
    assert "\n" not in caught.value.message


# ---- random schemas -------------------------------------------------------------------------------------------------

SCALARS = st.sampled_from(
    [
        {"type": "string"}, {"type": "string", "minLength": 2, "maxLength": 5}, {"type": "integer"},
        {"type": "integer", "minimum": -3, "exclusiveMaximum": 40}, {"type": "number", "maximum": 1.5},
        {"type": "boolean"}, {"type": "null"}, {"type": "string", "format": "date"}, {"const": {"k": [1, "x"]}},
        {"type": "string", "pattern": "^[a-z]{2,4}$"}, {"enum": ["a", 'b"', None, 3]}, {"type": ["string", "null"]},
        {"type": "integer", "multipleOf": 7}, {"type": "string", "format": "uuid"}, {"$ref": "#/$defs/leaf"},
    ]
)  # fmt: skip
NAMES = st.text('abé "\\$/', min_size=1, max_size=5)


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    @st.composite
    def objects(draw: st.DrawFn) -> dict[str, Any]:
        properties = draw(st.dictionaries(NAMES, inner, max_size=4))
        required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
        return {"type": "object", "properties": properties, "required": required}

    arrays = st.builds(lambda items, n: {"type": "array", "items": items, "maxItems": n}, inner, st.integers(0, 3))
    fixed = st.builds(
        lambda parts: {"type": "array", "prefixItems": parts, "items": False}, st.lists(inner, min_size=1, max_size=3)
    )
    return (
        objects() | arrays | fixed | st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema=st.recursive(SCALARS, _larger, max_leaves=8), seed=st.integers(0, 999))
def test_answers_to_random_schemas_are_valid(drawer: Drawer, schema: dict[str, Any], seed: int) -> None:
    rooted = schema | {"$defs": {"leaf": {"type": "boolean"}}}
    answer = drawer.draw(drawer.form(Format("schema", rooted)), seed, 400)
    if answer.finished:
        jsonschema.validate(json.loads(answer.text), rooted, jsonschema.Draft202012Validator)
    else:
        assert len(answer.text) > 100
