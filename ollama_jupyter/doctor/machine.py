"""Checks of the machine: processor, memory, cores, GPUs, and what llama.cpp's build makes of them."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from ollama_jupyter.doctor.packages import ENGINE, installation
from ollama_jupyter.engine import devices, memory
from ollama_jupyter.engine.threads import available_cores
from ollama_jupyter.errors import EngineError
from ollama_jupyter.reports import Check

# What speeds llama.cpp up most: its name for it -> the word in /proc/cpuinfo.
_X86 = {"AVX": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "AVX512": "avx512f"}
_ARM = {"NEON": "asimd", "DOTPROD": "asimddp", "MATMUL_INT8": "i8mm", "SVE": "sve"}
_NEEDED = ("AVX2", "FMA", "F16C", "NEON", "DOTPROD")
LITTLE_MEMORY = 2 * 10**9
"""Bytes below which only the smallest models run."""
_NVIDIA, _AMD = Path("/proc/driver/nvidia/version"), Path("/dev/kfd")


def checks() -> Iterator[Check]:
    """Processor and GPUs as llama.cpp sees them, then memory and cores."""
    try:
        build = devices.survey()
    except EngineError as error:
        yield _broken(error.message)
    else:
        yield Check("llama.cpp", "ok", f"llama-cpp-python {build['version']} loads")
        yield processor(cpu_words(), build["features"])
        yield graphics(build["devices"], _vendor())
    yield _memory()
    yield _cores()


def _broken(how: str) -> Check:
    if how == "SIGILL":
        return Check("llama.cpp", "fail", "its build uses instructions that this processor lacks", rebuild())
    if how == "SIGKILL":
        return Check("llama.cpp", "fail", "it did not load in time, or was killed for want of memory", "free -h")
    return Check("llama.cpp", "fail", f"it cannot be loaded ({how})", rebuild())


def rebuild(flags: str = "") -> str:
    """The command that compiles llama.cpp on this machine."""
    cmake = f'CMAKE_ARGS="{flags}" ' if flags else ""
    return f"{cmake}{installation(ENGINE)} --force-reinstall --no-cache-dir --no-deps --no-binary {ENGINE}"


# ---- the processor ------------------------------------------------------------------------------------------------


def cpu_words() -> set[str]:
    """The features of the processor by Linux's names; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    lines = (line.partition(":") for line in text.splitlines())
    return next((set(value.split()) for key, _, value in lines if key.strip().lower() in ("flags", "features")), set())


def processor(words: set[str], features: Sequence[str]) -> Check:
    """Whether the build uses what the processor has."""
    known = _ARM if "asimd" in words or platform.machine().lower() in ("arm64", "aarch64") else _X86
    used = [name for name in known if name in features]
    unused = [name for name, word in known.items() if word in words and name not in features]
    detail = f"{platform.machine()}, llama.cpp uses {', '.join(used) or 'no special instructions'}"
    slow = [name for name in unused if name in _NEEDED]
    if slow:
        return Check("cpu", "warn", f"{detail}, but not {', '.join(slow)}, which would be faster", rebuild())
    if not words & set(known.values()) and words:
        return Check("cpu", "warn", f"{detail}; this old processor will be slow", "ollama-jupyter pull smollm2:135m")
    return Check("cpu", "ok", detail)


# ---- GPUs ---------------------------------------------------------------------------------------------------------


def _vendor() -> str:
    """Whose GPU with a working driver is in the machine, as far as files tell."""
    if _NVIDIA.exists() or shutil.which("nvidia-smi"):
        return "NVIDIA"
    return "AMD" if _AMD.exists() else ""


def graphics(found: Sequence[Mapping[str, Any]], vendor: str) -> Check:
    """The devices that ggml sees beside the CPU, and whether one that is there goes unused."""
    if found:
        texts = [
            f"{d['name']} ({d['description']}, {_gigabytes(d['free'])} of {_gigabytes(d['total'])} free)" for d in found
        ]
        return Check("gpu", "ok", ", ".join(texts))
    flags = {"NVIDIA": "-DGGML_CUDA=on", "AMD": "-DGGML_HIP=on"}.get(vendor)
    if flags:
        detail = f"there is a GPU of {vendor}, but this build of llama.cpp computes on the CPU"
        return Check("gpu", "warn", detail, rebuild(flags))
    return Check("gpu", "ok", "none; models run on the CPU")


# ---- memory and cores ---------------------------------------------------------------------------------------------


def _memory() -> Check:
    total, free = psutil.virtual_memory().total, memory.available_bytes()
    limit = _limit()
    bound = f", this process may use {_gigabytes(limit)} (cgroup)" if limit and limit < total else ""
    detail = f"{_gigabytes(total)}{bound}, {_gigabytes(free)} free for models"
    if free < LITTLE_MEMORY:
        return Check("memory", "warn", f"{detail}: only small models fit", "ollama-jupyter ps")
    return Check("memory", "ok", detail)


def _limit() -> int:
    """Bytes that the cgroup allows, 0 where it sets no limit."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return 0


def _cores() -> Check:
    usable, present = available_cores(), os.cpu_count() or 1
    load = psutil.getloadavg()[0]
    detail = f"{usable} of {present} usable, load {load:.1f}"
    if load > 2 * usable:
        return Check("cores", "warn", f"{detail}: other programs keep them busy", "top -o %CPU")
    return Check("cores", "ok", detail)


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
