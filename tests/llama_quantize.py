"""llama.cpp's own `llama-quantize`, from the sources of the installed llama-cpp-python, linked to its libraries.

Only the two files of the tool are compiled, which takes seconds. What it needs of llama.cpp's common code has no part
in plain quantizing, and is left out by stubs.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

DISTRIBUTION = "llama-cpp-python"

_STUBS = """
#include "build-info.h"
#include "imatrix-loader.h"
#include "llama.h"
void llama_print_build_info(const char *, FILE *) {}
bool common_imatrix_load(const std::string &, common_imatrix &) { return false; }
bool string_parse_kv_override(const char *, std::vector<llama_model_kv_override> &) { return false; }
"""


def llama_quantize(folder: Path | None = None) -> Path:
    """The program; built and kept in `folder`, by default one of the machine's for temporary files.

    It is linked to the libraries of this environment, so each environment has its own.
    """
    version = importlib.metadata.version(DISTRIBUTION)
    mark = f"{version}-{zlib.crc32(str(_libraries()).encode()):08x}"
    folder = folder or Path(tempfile.gettempdir()) / f"llama-quantize-{mark}"
    program = folder / "llama-quantize"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            _build(_sources(Path(scratch), version), program)
    return program


def _sources(scratch: Path, version: str) -> Path:
    """llama.cpp's folder in the source distribution."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", DISTRIBUTION]
    subprocess.run([*pip, "-d", str(scratch), f"{DISTRIBUTION}=={version}"], check=True)
    with tarfile.open(next(scratch.glob("*.tar.gz"))) as archive:
        archive.extractall(scratch, filter="data")
    return next(scratch.glob("*/vendor/llama.cpp"))


def _libraries() -> Path:
    """Where the installed package keeps llama.cpp's libraries."""
    package = importlib.util.find_spec("llama_cpp")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "lib"


def _build(sources: Path, program: Path) -> None:
    libraries = _libraries()
    stubs = sources / "stubs.cpp"
    stubs.write_text(_STUBS)
    partial = program.with_suffix(".part")
    subprocess.run(
        [
            *("c++", "-std=c++17", "-O1", "-o", str(partial)),
            *(f"-I{sources / part}" for part in ("include", "common", "ggml/include")),
            *(str(sources / name) for name in ("stubs.cpp", "tools/quantize/quantize.cpp", "tools/quantize/main.cpp")),
            *(f"-L{libraries}", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"),
        ],
        check=True,
    )
    partial.rename(program)
