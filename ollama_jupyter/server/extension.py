"""The Jupyter Server extension: routes under `{base_url}ollama/`, the kernel door, and settings as traitlets."""

from __future__ import annotations

import logging
import os
from dataclasses import fields
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Float, Int, List, TraitError, TraitType, Unicode, Union

from ollama_jupyter.config import SETTINGS, Setting, Settings, parse_host
from ollama_jupyter.server.app import Ollama
from ollama_jupyter.server.jupyter import JupyterDoor, guard
from ollama_jupyter.server.loopback import KernelDoor
from ollama_jupyter.server.routes import handlers
from ollama_jupyter.server.standalone import Listener

log = logging.getLogger("ollama_jupyter")

_DEFAULTS = {field.name: field.default for field in fields(Settings)}
_PARSERS = {setting.field: setting.parse for setting in SETTINGS}


def _trait(setting: Setting) -> TraitType[Any, Any]:
    """The trait of a row of the table. None means "not set here": the environment decides, then the default."""
    default = _DEFAULTS[setting.field]
    note = f" ({setting.later})" if setting.later else ""
    common: dict[str, Any] = {"default_value": None, "allow_none": True, "config": True}
    common["help"] = f"{setting.help}{note}. Else {setting.env}, else {default!r}."
    if isinstance(default, bool) or default is None:
        return Bool(**common)
    if isinstance(default, int):
        return Int(**common)
    if isinstance(default, float):
        return Union([Float(), Unicode()], **common)
    return List(Unicode(), **common) if isinstance(default, tuple) else Unicode(**common)


def _value(field: str, given: Any) -> Any:
    """A trait's value as Settings holds it: texts are read as in the environment, so that `"10m"` works."""
    if isinstance(given, str):
        try:
            return _PARSERS[field](given)
        except ValueError:
            raise TraitError(f"OllamaExtension.{field}: cannot read {given!r}") from None
    return tuple(given) if isinstance(given, list) else given


class OllamaExtension(ExtensionApp):
    """Private local models for every notebook of this server."""

    name = "ollama_jupyter"
    extension_url = "/lab"
    load_other_extensions = True

    # Class bodies take names this way: traitlets finds these like written ones, and the table stays the only list.
    locals().update({setting.field: _trait(setting) for setting in SETTINGS if setting.field})

    ollama: Ollama
    kernel_door: KernelDoor | None = None
    listener: Listener | None = None
    _outer_host: str | None = None

    def initialize_settings(self) -> None:
        """Read our settings: before kernels get an OLLAMA_HOST of ours, which is not meant for us."""
        self._share_log()
        settings = self.server_settings()
        log.setLevel(logging.DEBUG if settings.debug else logging.INFO)
        self.ollama = Ollama.create(settings)
        self.settings["ollama"] = self.ollama

    def server_settings(self) -> Settings:
        """The environment's settings with the traits laid over them."""
        given = {field: getattr(self, field) for field in _PARSERS if field}
        return Settings.from_env(**{field: _value(field, value) for field, value in given.items() if value is not None})

    def _share_log(self) -> None:
        """Our lines go where Jupyter's go."""
        for handler in self.serverapp.log.handlers if self.serverapp else ():
            if handler not in log.handlers:
                log.addHandler(handler)
        log.setLevel(logging.DEBUG)  # until the settings are read: what reading them says is not lost

    def initialize_handlers(self) -> None:
        self.handlers.extend(handlers(JupyterDoor, guard, "ollama"))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Called by Jupyter with the loop running."""
        settings = self.ollama.settings
        await self.ollama.start()
        if settings.connect_kernels:
            self._open_kernel_door()
        if settings.listen:
            self._open_listener(settings.listen)

    def _open_kernel_door(self) -> None:
        self.kernel_door = KernelDoor(self.ollama)
        self._outer_host = os.environ.get("OLLAMA_HOST")
        os.environ["OLLAMA_HOST"] = self.kernel_door.url
        log.info("kernels reach the models at http://127.0.0.1:%d, key withheld", self.kernel_door.port)

    def _open_listener(self, text: str) -> None:
        try:
            self.listener = Listener(self.ollama, parse_host(text))
        except OSError as error:
            log.error("cannot listen on %s: %s", text, error.strerror)

    def current_activity(self) -> dict[str, Any] | None:
        """What keeps an idle server from being shut down: the requests under way."""
        return {work.label: True for work in self.ollama.active} or None

    async def stop_extension(self) -> None:
        """Close the doors, tell running requests, unload the models."""
        if not hasattr(self, "ollama"):
            return
        await self.ollama.close()
        if self.kernel_door is not None:
            self._restore_host(self.kernel_door.url)
            await self.kernel_door.close()
            self.kernel_door = None
        if self.listener is not None:
            await self.listener.close()
            self.listener = None
        for handler in list(log.handlers):
            log.removeHandler(handler)

    def _restore_host(self, ours: str) -> None:
        if os.environ.get("OLLAMA_HOST") != ours:
            return
        if self._outer_host is None:
            del os.environ["OLLAMA_HOST"]
        else:
            os.environ["OLLAMA_HOST"] = self._outer_host
