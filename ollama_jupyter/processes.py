"""Child processes of ours: what they may see of the server, and how they begin.

A child reads one line of JSON from its standard input and writes lines of JSON to its standard output. It gets no
secrets, is the first to go when memory runs out, leaves no core dump, and does not outlive whoever started it.
"""

from __future__ import annotations

import io
import os
import runpy
import sys
import threading
from pathlib import Path

_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "HOME", "TMPDIR", "PYTHONPATH", "LANG")
_DEVICES = ("CUDA_", "HIP_", "ROCR_", "GGML_", "GPU_", "HSA_")

# Without the empty entry, which stands for whatever folder the server was started in and the modules lying there.
CLEAN_PATH = "import sys; sys.path = [p for p in sys.path if p]; "


def environment() -> dict[str, str]:
    """No secrets of the server's: only what finding the libraries and the devices needs."""
    env = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_DEVICES)}
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return env | {"GGML_NO_BACKTRACE": "1", "PYTHONPATH": os.pathsep.join(paths)}


def command(module: str) -> tuple[str, ...]:
    """The command that runs `module` as a child, by `run`."""
    return (sys.executable, "-c", f"{CLEAN_PATH}from ollama_jupyter.processes import run; run({module!r})")


# ---- in the child -------------------------------------------------------------------------------------------------


def run(module: str) -> None:
    """Run `module` as the main program. It finds its line of arguments on `sys.stdin`, and nothing behind it."""
    sacrifice_first()
    arguments = sys.stdin.readline()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdin = io.StringIO(arguments)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    """The other end of the pipe is held open by whoever waits for us; its end is ours."""
    while os.read(0, 4096):  # not by `sys.stdin`, whose lock the interpreter wants at its end
        pass
    os._exit(1)


def sacrifice_first() -> None:
    """When memory runs out, let the kernel end this process and not the server; leave no core dump."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:  # not Linux
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
