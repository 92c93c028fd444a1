"""Jupyter's door: its own handlers check user, permission, XSRF and Host; the answers are Ollama's."""

from __future__ import annotations

from asyncio import Future
from typing import Any, cast

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ollama_jupyter.server.base import Resource, Verb


def guard(resource: type[Resource], verb: Verb) -> Verb:
    """`@authenticated @authorized`, in the order in which Jupyter recognises them."""
    permitted: Verb = authorized(action=resource.auth_action)(verb) if resource.auth_action else authorized(verb)
    return cast("Verb", web.authenticated(permitted))


@web.stream_request_body
class JupyterDoor(Resource, APIHandler):
    """A handler of Jupyter Server."""

    async def prepare(self) -> None:  # type: ignore[override]
        await Resource.prepare(self)

    async def admit(self) -> None:
        """Jupyter's checks, and the permission too: a body must not be taken in from who may not send it."""
        await APIHandler.prepare(self)
        method = self.request.method or ""
        action = self.auth_action or HTTP_METHOD_TO_AUTH_ACTION[method]
        if method == "OPTIONS":
            return
        if self.current_user is None:
            raise web.HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)):
            raise web.HTTPError(403, f"not authorized to {action} {self.auth_resource}")

    def set_default_headers(self) -> None:
        APIHandler.set_default_headers(self)

    def touch(self) -> None:
        """A long answer is activity: a hub must not cull the server in the middle of it."""
        self.update_api_activity()

    def finish(self, *args: Any, **kwargs: Any) -> Future[None]:
        """Without APIHandler's own, which labels every answer JSON."""
        self.update_api_activity()
        return web.RequestHandler.finish(self, *args, **kwargs)
