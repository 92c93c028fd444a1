"""`/openapi.yaml`: the description of all routes, for programs that read such."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from ollama_jupyter.server.base import Resource

NAME = "openapi.yaml"


@cache
def description() -> bytes:
    """The file: beside this package in an installation, in `docs` of a checkout.

    Raises:
        RuntimeError: it is nowhere.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package, package.parent / "docs"):
        if (folder / NAME).is_file():
            return (folder / NAME).read_bytes()
    raise RuntimeError(f"{NAME} is missing from this installation")


class OpenAPI(Resource):
    """GET: the description, in YAML."""

    async def get(self) -> None:
        text = await asyncio.to_thread(description)
        self.set_header("Content-Type", "application/yaml; charset=utf-8")
        self.finish(text)
