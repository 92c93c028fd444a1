"""`/api/verify|scan|doctor`: what Ollama does not have."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ollama_jupyter.api import ours
from ollama_jupyter.api.wire import encode
from ollama_jupyter.messages import Progress
from ollama_jupyter.reports import VerifyReport
from ollama_jupyter.server.base import Resource

Steps = AsyncGenerator[Progress | VerifyReport, None]


class Verify(Resource):
    """POST: hash the store, or one model, again; mend it if asked to. The last line has the report."""

    async def post(self) -> None:
        request = await self.read(ours.verify_request) if self._has_body() else ours.verify_request({})
        steps = self.ollama.library.tools.verify(request, trusted=self.trusts_private)
        if request.stream:
            await self.stream(_lines(steps))
        else:
            self.answer(await self._last(steps))

    async def _last(self, steps: Steps) -> dict[str, object]:
        line: dict[str, object] = {}
        async with aclosing(steps):
            async for step in steps:
                line = ours.verify_line(step)
                self.touch()
        return line


async def _lines(steps: Steps) -> AsyncGenerator[bytes, None]:
    async with aclosing(steps):
        async for step in steps:
            yield encode(ours.verify_line(step)) + b"\n"


class Scan(Resource):
    """POST: what a model holds that its user should know."""

    auth_action = "read"

    async def post(self) -> None:
        report = await self.ollama.library.tools.scan(await self.read(ours.scan_argument))
        self.answer(report.to_json())


class Doctor(Resource):
    """GET: checks of this machine and of the store, each with what mends it."""

    async def get(self) -> None:
        self.answer((await self.ollama.examine()).to_json())
