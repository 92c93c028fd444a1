"""What takes long and tells how far it is: a line for each step, or, without a stream, the last one alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ollama_jupyter.api import ollama_answers
from ollama_jupyter.api.wire import encode
from ollama_jupyter.server.base import Resource

Steps = AsyncGenerator[Any, None]


class Stepwise(Resource):
    """Base of such resources."""

    def line(self, step: Any) -> dict[str, Any]:
        """A step as it goes on the wire."""
        return ollama_answers.progress(step)

    async def tell(self, steps: Steps, *, stream: bool) -> None:
        if stream:
            await self.stream(self._lines(steps))
        else:
            self.answer(await self._last(steps), "application/json")

    async def _lines(self, steps: Steps) -> AsyncGenerator[bytes, None]:
        async with aclosing(steps):
            async for step in steps:
                yield encode(self.line(step)) + b"\n"

    async def _last(self, steps: Steps) -> dict[str, Any]:
        said: dict[str, Any] = {}
        async with aclosing(steps):
            async for step in steps:
                said = self.line(step)
                self.touch()
        return said
