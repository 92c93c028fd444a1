"""`serve` that ends when its standard input does: whoever holds the other end need not live to say so."""

from __future__ import annotations

import os
import signal
import threading
import time

GRACE_SECONDS = 5.0


def main() -> int:
    """Serve as the environment says. The exit code."""
    from ollama_jupyter.cli.commands import Call
    from ollama_jupyter.cli.serve import run

    threading.Thread(target=_watch, name="tether", daemon=True).start()
    return run(Call([], {}))


def _watch() -> None:
    """End like on SIGTERM once nobody holds our input any more, and for certain a little later."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
