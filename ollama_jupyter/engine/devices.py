"""What this build of llama.cpp can compute with, asked in a child program: a build for another CPU, or a broken driver
of a GPU, ends whoever loads it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import signal
import subprocess
import sys
import threading
from typing import Any

from ollama_jupyter import processes
from ollama_jupyter.errors import EngineError

TIMEOUT_S = 60.0
_CPU = 0
"""ggml's number for the type of device that the CPU is."""


def survey(timeout: float = TIMEOUT_S) -> dict[str, Any]:
    """`version` of llama-cpp-python, `features` that the build uses (`AVX2`), and `devices` beside the CPU, each with
    `name`, `description`, and `free` and `total` bytes.

    Raises:
        EngineError: if the child gave no answer, saying how it ended.
    """
    child = subprocess.Popen(
        processes.command(__name__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=processes.environment(),
        start_new_session=True,
    )
    timer = threading.Timer(timeout, child.kill)
    timer.start()
    try:
        with child:  # its input stays open until it has answered: the child ends with it
            said = _ask(child).decode("utf-8", "replace").strip().splitlines()
    finally:
        timer.cancel()
    try:
        answer: dict[str, Any] = json.loads(said[-1])
    except (ValueError, IndexError):
        raise EngineError(_end(child.returncode, said)) from None
    return answer


def _ask(child: subprocess.Popen[bytes]) -> bytes:
    """All that it says until its end."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # dead already: its end tells
        child.stdin.write(b"{}\n")
        child.stdin.flush()
    return child.stdout.read()


def _end(code: int, said: list[str]) -> str:
    """How the child ended: by a signal, or with the kind of Python's last error."""
    if code < 0:
        return signal.Signals(-code).name
    return said[-1].partition(":")[0][:100] if said else f"exit code {code}"


# ---- the child ----------------------------------------------------------------------------------------------------


def _features(info: str) -> list[str]:
    """From `CPU : AVX = 1 | AVX2 = 1 | FMA = 0 |`, those that are 1."""
    pairs = (entry.rpartition(":")[2].partition("=") for entry in info.split("|"))
    return [name.strip() for name, _, value in pairs if value.strip() == "1"]


def _devices() -> list[dict[str, Any]]:
    from llama_cpp._ggml import libggml

    found = []
    libggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    libggml.ggml_backend_dev_get.argtypes, libggml.ggml_backend_dev_get.restype = [ctypes.c_size_t], ctypes.c_void_p
    for function in (libggml.ggml_backend_dev_name, libggml.ggml_backend_dev_description):
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_char_p
    libggml.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    libggml.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_size_t)] * 2]
    for index in range(libggml.ggml_backend_dev_count()):
        device = libggml.ggml_backend_dev_get(index)
        if libggml.ggml_backend_dev_type(device) == _CPU:
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        libggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        name, description = libggml.ggml_backend_dev_name(device), libggml.ggml_backend_dev_description(device)
        memory = {"free": free.value, "total": total.value}
        found.append({"name": name.decode(), "description": description.decode("utf-8", "replace"), **memory})
    return found


def main() -> None:
    """The child program."""
    sys.stdin.readline()
    import llama_cpp
    from llama_cpp import llama_cpp as C

    quiet = C.llama_log_callback(lambda *_: None)  # kept until the end
    C.llama_log_set(quiet, ctypes.c_void_p(0))
    C.llama_backend_init()
    features = _features(C.llama_print_system_info().decode("utf-8", "replace"))
    print(json.dumps({"version": llama_cpp.__version__, "features": features, "devices": _devices()}), flush=True)


if __name__ == "__main__":
    main()
