"""Goes through grammars that are made to hurt, in a process of its own: a line of JSON for each, [name, told, seconds].

`told` is "held", or what refused it. Called with the path of a model.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from drawing import Drawer, vocabulary

from ollama_jupyter.errors import BadRequest, EngineError
from ollama_jupyter.messages import Format


def _chain(length: int) -> dict[str, Any]:
    """Definitions each of which holds the next one twice: a small schema of a value that is huge."""
    parts: list[Any] = [
        {"type": "object", "properties": {key: {"$ref": f"#/$defs/{n + 1}"} for key in "ab"}, "required": ["a", "b"]}
        for n in range(length)
    ]
    return {"$defs": {str(n): part for n, part in enumerate([*parts, {"type": "null"}])}, "$ref": "#/$defs/0"}


def _product(factors: int) -> dict[str, Any]:
    parts = [{"anyOf": [{"properties": {f"{i}-{j}": {}}} for j in range(4)]} for i in range(factors)]
    return {"allOf": parts}


def cases() -> Iterator[tuple[str, Format]]:
    yield "nested groups", Format("regex", "(" * 4000 + ")" * 4000)
    yield "nested repeats", Format("regex", "(([a-z]{0,50}){0,50}){0,50}")
    yield "states", Format("regex", "(.*a){20}.{200}b")
    yield "more states", Format("regex", ".*a.{40}b")
    yield "classes", Format("regex", r"(\w|\p{L}|[^\p{Lu}]){100,2000}")
    yield "nul", Format("regex", "\0*")
    yield "choices", Format("choice", tuple(f"{n:020}" for n in range(10_000)))
    yield "enum", Format("schema", {"enum": [f"{n:08}" for n in range(20_000)]})
    yield "properties", Format("schema", {"properties": {str(n): {} for n in range(1000)}})
    yield "required", Format("schema", {"required": [str(n) for n in range(5000)]})
    yield "items", Format("schema", {"minItems": 9999, "items": {"minItems": 9999, "items": {"minItems": 9999}}})
    yield "lengths", Format("schema", {"pattern": "(a|b)*c.*d", "minLength": 9000, "maxLength": 10_000})
    yield "itself", Format("schema", {"$ref": "#"})
    yield (
        "itself twice",
        Format("schema", {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 2}}, "$ref": "#/$defs/a"}),
    )
    yield "doubling", Format("schema", _chain(40))
    yield "product", Format("schema", _product(12))
    yield "multiples", Format("schema", {"type": "number", "multipleOf": 0.000123})
    yield "maps", Format("schema", {"patternProperties": {f"^{chr(97 + n)}.*(x|y){{0,50}}$": {} for n in range(26)}})


def told(drawer: Drawer, form: Format) -> str:
    try:
        text = drawer.form(form)
        for seed in range(3):
            drawer.draw(text, seed, 80)
    except BadRequest as error:
        return error.message
    except EngineError as error:
        return error.message
    return "held"


def main(path: str) -> None:
    with vocabulary(path) as vocab:
        drawer = Drawer(vocab)
        for name, form in cases():
            started = time.perf_counter()
            print(json.dumps([name, told(drawer, form), time.perf_counter() - started]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
