"""Quantizing a GGUF file by llama.cpp, as a child program: `llama_model_quantize` tells nothing and cannot be stopped.

Progress is read from the lines that it logs, one for each tensor. The file is, byte for byte, what llama.cpp's own
`llama-quantize` writes with its defaults.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import math
import re
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# llama.cpp's numbers of the file types that it can make without an importance matrix. Ollama takes the first six.
FILE_TYPES = {
    "F32": 0, "F16": 1, "BF16": 32, "Q4_K_S": 14, "Q4_K_M": 15, "Q8_0": 7,
    "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9, "Q5_K_S": 16,
    "Q5_K_M": 17, "Q6_K": 18, "IQ3_S": 26, "IQ3_M": 27, "IQ4_NL": 25, "IQ4_XS": 30,
}  # fmt: skip
ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}

_TENSOR = re.compile(r"\[ *\d+/ *\d+\] .* - \[([ \d,]+)\]")
"""The beginning of a tensor's line: its number of how many, its name, its shape."""
_ERROR = 4
"""ggml's log level of an error."""


def quantize(sources: Sequence[Path], target: Path, file_type: str, tell: Callable[[int], None]) -> str:
    """Write `target`; "" if that went well, else what llama.cpp says against it. `tell` counts the numbers done.

    Of several shards, whose names must follow llama.cpp's pattern, one file is made. For the main thread of a child.
    """
    C = _binding()
    said = _Said(sources, tell)
    callback = C.llama_log_callback(said)  # kept: ctypes callbacks must outlive their use
    C.llama_log_set(callback, None)
    C.llama_backend_init()
    params = C.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[file_type]
    code = C.llama_model_quantize(bytes(sources[0]), bytes(target), params)
    return said.reason(target) if code else ""


@functools.cache
def _binding() -> Any:
    """llama-cpp-python's C functions, without the package around them, whose imports take longer than a small model."""
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    package = types.ModuleType("llama_cpp")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules.setdefault("llama_cpp", package)
    return importlib.import_module("llama_cpp.llama_cpp")


class _Said:
    """Listens to llama.cpp's log: which tensor it is at, and what went wrong."""

    def __init__(self, sources: Sequence[Path], tell: Callable[[int], None]) -> None:
        self._paths = [str(path) for path in sources]
        self._tell = tell
        self._done = self._current = 0
        self._error = ""

    def __call__(self, level: int, text: bytes, _: Any) -> None:
        line = text.decode("utf-8", "replace")
        if level == _ERROR:
            self._error = line.strip() or self._error
        elif match := _TENSOR.match(line):
            self._done += self._current
            self._current = math.prod(map(int, match[1].split(",")))
            self._tell(self._done)

    def reason(self, target: Path) -> str:
        """The last error, without the paths of this machine."""
        text = self._error.partition("failed to quantize: ")[2] or self._error or "for no reason that it gave"
        for path in (*self._paths, str(target)):
            text = text.replace(path, "the file")
        if "iostream error" in text:
            text = "the result cannot be written: is the disk full?"
        return f"llama.cpp cannot quantize this model: {text}"


def main() -> None:
    """The child program: `source` paths, `target`, `type`, and the `total` of numbers, which a header tells sooner."""
    arguments = json.loads(sys.stdin.readline())

    def tell(done: int) -> None:
        _say({"completed": done, "total": arguments["total"]})

    sources = [Path(path) for path in arguments["source"]]
    reason = quantize(sources, Path(arguments["target"]), arguments["type"], tell)
    _say({"error": reason} if reason else {"done": True})


def _say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
