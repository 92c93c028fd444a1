"""The doctor: checks of the machine, its Python, the network, the settings and the store, each with what mends it.

It changes nothing. Its texts name settings, models and commands, never a path of this machine, and no secret: whoever
may use the server may read them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from ollama_jupyter import __version__
from ollama_jupyter.config import Settings
from ollama_jupyter.doctor import machine, model, network, packages, store, variables
from ollama_jupyter.reports import Check, DoctorReport
from ollama_jupyter.store.models import Store

__all__ = ["run_checks"]

log = logging.getLogger("ollama_jupyter.doctor")

_TURN = threading.Lock()
"""One examination at a time: it loads a model."""


def run_checks(settings: Settings, env: Mapping[str, str] | None = None) -> DoctorReport:
    """Examine everything; some seconds, in the calling thread.

    Args:
        env: the environment that the settings were read from, by default the process's.
    """
    outer = os.environ if env is None else env
    files = Store(settings.models_dir, settings.shared_dirs)
    groups: Iterable[Callable[[], Iterable[Check]]] = (
        packages.checks,
        machine.checks,
        lambda: variables.checks(outer),
        lambda: network.checks(settings, outer),
        lambda: store.checks(files),
        lambda: model.checks(files),
    )
    with _TURN:
        return DoctorReport(__version__, [check for group in groups for check in _examined(group)])


def _examined(group: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The checks of a group. One that breaks down is a finding too, and stops no other."""
    try:
        yield from group()
    except Exception as error:
        log.warning("a check broke down", exc_info=error)
        what = f"the check itself broke down: {type(error).__name__}"
        yield Check("doctor", "warn", what, "OLLAMA_DEBUG=1 ollama-jupyter doctor")
