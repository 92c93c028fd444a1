"""The OpenAPI description tells of every route and every verb, and of no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import yaml
from doors import Door, serve

from ollama_jupyter.server.openapi import description
from ollama_jupyter.server.plain import PlainDoor
from ollama_jupyter.server.root import Missing
from ollama_jupyter.server.routes import ROUTES, bind, unguarded

METHODS = {"get", "head", "post", "put", "patch", "delete"}


def described() -> dict[str, set[str]]:
    paths: dict[str, Any] = yaml.safe_load(description())["paths"]
    return {path: METHODS & set(operations) for path, operations in paths.items()}


def routed() -> dict[str, set[str]]:
    found = {}
    for pattern, resource in ROUTES:
        if resource is not Missing:
            allowed = bind(resource, PlainDoor, unguarded).allowed
            path = re.sub(r"\(.*?\)", "{}", pattern.replace("\\", "")) or "/"
            found[path] = {method.lower() for method in allowed}
    return found


def test_every_route_is_described_and_nothing_else() -> None:
    told = {re.sub(r"\{.*?\}", "{}", path): methods for path, methods in described().items()}
    served = routed()
    assert set(told) == set(served)
    for path, methods in served.items():
        assert told[path] <= methods, path
        assert methods - told[path] <= {"head"}, path


def test_operations_have_names_of_their_own() -> None:
    paths: dict[str, Any] = yaml.safe_load(description())["paths"]
    names = [
        value["operationId"] for operations in paths.values() for key, value in operations.items() if key in METHODS
    ]
    assert len(names) == len(set(names))


def test_it_is_served(tmp_path: Path) -> None:
    with serve(tmp_path / "models") as door:
        answer = _get(door)
    assert answer.headers["content-type"] == "application/yaml; charset=utf-8"
    assert answer.content == description()


def _get(door: Door) -> httpx.Response:
    return httpx.get(door.url + "/openapi.yaml", headers=door.headers, timeout=20).raise_for_status()
