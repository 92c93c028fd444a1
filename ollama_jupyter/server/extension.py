"""The Jupyter Server extension: routes under `{base_url}ollama/`, the kernel door, and settings as traitlets."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timezone
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


def kernel_environment(url: str, outer: Mapping[str, str]) -> dict[str, str]:
    """What kernels and terminals need to reach `url`: the address, and no proxy in the way of a loopback one."""
    names = [name for name in ("NO_PROXY", "no_proxy") if any(key.lower().endswith("_proxy") for key in outer)]
    exempt = {name: ",".join(filter(None, [outer.get(name), "127.0.0.1", "localhost"])) for name in names}
    return {"OLLAMA_HOST": url} | exempt


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
    _ours: dict[str, str] = {}
    _outer: dict[str, str | None] = {}

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
        self.ollama.touch = self._touch
        if settings.connect_kernels:
            self._open_kernel_door()
        if settings.listen:
            self._open_listener(settings.listen)

    def _open_kernel_door(self) -> None:
        self.kernel_door = KernelDoor(self.ollama)
        self._ours = kernel_environment(self.kernel_door.url, os.environ)
        self._outer = {name: os.environ.get(name) for name in self._ours}
        os.environ.update(self._ours)
        log.info("kernels reach the models at http://127.0.0.1:%d, key withheld", self.kernel_door.port)

    def _open_listener(self, text: str) -> None:
        try:
            self.listener = Listener(self.ollama, parse_host(text))
        except OSError as error:
            log.error("cannot listen on %s: %s", text, error.strerror)

    def _touch(self) -> None:
        """Work through the other doors is activity too: a hub must not cull the server in the middle of a pull."""
        if self.serverapp:
            self.serverapp.web_app.settings["api_last_activity"] = datetime.now(timezone.utc)

    def current_activity(self) -> dict[str, Any] | None:
        """What keeps an idle server from being shut down: the requests under way."""
        return {work.label: True for work in self.ollama.active} or None

    async def stop_extension(self) -> None:
        """Close the doors, tell running requests, unload the models."""
        if not hasattr(self, "ollama"):
            return
        await self.ollama.close()
        if self.kernel_door is not None:
            self._restore_environment()
            await self.kernel_door.close()
            self.kernel_door = None
        if self.listener is not None:
            await self.listener.close()
            self.listener = None
        for handler in list(log.handlers):
            log.removeHandler(handler)

    def _restore_environment(self) -> None:
        """What was there before, except where somebody has changed it meanwhile."""
        for name, ours in self._ours.items():
            if os.environ.get(name) != ours:
                continue
            outer = self._outer[name]
            if outer is None:
                del os.environ[name]
            else:
                os.environ[name] = outer
