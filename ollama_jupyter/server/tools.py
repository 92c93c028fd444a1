"""`/api/verify|scan|doctor`: what Ollama does not have."""

from __future__ import annotations

from typing import Any

from ollama_jupyter.api import ours
from ollama_jupyter.server.base import Resource
from ollama_jupyter.server.stepwise import Stepwise


class Verify(Stepwise):
    """POST: hash the store, or one model, again; mend it if asked to. The last line has the report."""

    def line(self, step: Any) -> dict[str, Any]:
        return ours.verify_line(step)

    async def post(self) -> None:
        request = await self.read(ours.verify_request) if self._has_body() else ours.verify_request({})
        steps = self.ollama.library.tools.verify(request, trusted=self.trusts_private)
        await self.tell(steps, stream=request.stream)


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
