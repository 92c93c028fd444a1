"""F16 to Q4_K_M by `create`, against llama.cpp's own `llama-quantize` of the same file: same bytes, and how long.

Run `python benchmarks/quantize.py`. The source is SmolLM2 from its wheel, made F16 again. The tool is built when it is
missing: from the source distribution of the installed llama-cpp-python, linked to its libraries. Each round measures
the tool, then our child program alone, then a whole create (which also hashes, syncs and tries the result). Beside
the time that passed, the processor's time is compared, which other processes disturb less.
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from parallel import foreign_load

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from creating import real_probe
from llama_quantize import llama_quantize

from ollama_jupyter.gguf import read_header
from ollama_jupyter.library import child, embedded
from ollama_jupyter.library.create import create
from ollama_jupyter.messages import CreateRequest
from ollama_jupyter.store.models import Store

ROUNDS, TYPE = 7, "Q4_K_M"


def make_source(program: Path, target: Path) -> None:
    """SmolLM2 as F16: the 4-bit file of the wheel, its numbers written out."""
    (source,) = (path for folder in embedded.package_folders() for path in folder.glob("*.gguf"))
    run = [program, "--allow-requantize", source, target, "F16"]
    subprocess.run(run, check=True, capture_output=True)


@dataclass
class Times:
    """Seconds of each round: that passed, and of the processor in child processes."""

    passed: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        started, used = time.perf_counter(), children_seconds()
        yield
        self.passed.append(time.perf_counter() - started)
        self.used.append(children_seconds() - used)


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(mine / tool for mine, tool in zip(ours, theirs, strict=True))


def measure(program: Path, source: Path, folder: Path) -> None:
    theirs, ours, creates = Times(), Times(), Times()
    store = Store(folder / "models")
    digest = store.blobs.put_file(source)
    request = CreateRequest("q", files={source.name: str(digest)}, quantize=TYPE)
    arguments = {"source": [str(source)], "target": str(folder / "ours.gguf"), "type": TYPE}
    arguments["total"] = read_header(source).parameter_count
    for round_ in range(ROUNDS):
        with theirs.one():
            subprocess.run([program, source, folder / "theirs.gguf", TYPE], check=True, capture_output=True)
        with ours.one():
            child.run("ollama_jupyter.engine.quantize", arguments, lambda *_: None)
        with creates.one():
            create(store, request, lambda _: None, ensure=lambda *_: None, probe=real_probe)
        seconds = [f"{times.passed[-1]:.2f} s" for times in (theirs, ours, creates)]
        print(f"round {round_}: llama-quantize {seconds[0]}, child {seconds[1]}, create {seconds[2]}")
        made = store.resolve("q").weights.read_bytes()
        assert made == (folder / "ours.gguf").read_bytes() == (folder / "theirs.gguf").read_bytes()
    print(f"child: median ratio {ratio(ours.passed, theirs.passed):.2f} (wanted: 1.1 at most)")
    print(f"child: median ratio of the processor's time {ratio(ours.used, theirs.used):.2f}")
    print(f"create: median ratio {ratio(creates.passed, theirs.passed):.2f}")
    print("the bytes are the same in every round")


if __name__ == "__main__":
    print(f"{foreign_load():.1f} cores busy with something else")
    with tempfile.TemporaryDirectory() as scratch:
        tool = llama_quantize()
        make_source(tool, Path(scratch) / "f16.gguf")
        measure(tool, Path(scratch) / "f16.gguf", Path(scratch))
