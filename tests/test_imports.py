"""The arrows between the rooms, as DESIGN section 3 draws them, and what an import may cost."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ollama_jupyter"
VALUES = {"errors", "names", "durations", "config", "messages", "reports", "processes"}

# room -> the rooms (or modules of rooms) that it may import. The values may be imported by all.
MAY_IMPORT: dict[str, set[str]] = {
    "": {"server.extension", "notebook.magics"},  # __init__.py: entry points
    "__main__": {"cli"},
    **dict.fromkeys(VALUES, VALUES),
    "modelfile": set(),
    "gguf": set(),
    "store": {"gguf", "modelfile"},
    "prompt": set(),
    "grammar": {"prompt.output"},
    "engine": {"gguf"},
    "manager": {"engine", "store"},
    "service": {"manager", "prompt", "grammar", "store", "engine.events", "engine.constrain"},
    "registry": {"store"},
    "convert": {"gguf"},
    "library": {
        "store",
        "registry",
        "modelfile",
        "gguf",
        "prompt.select",
        "prompt.families",
        "prompt.gotemplate",
        "prompt.jinja",
        "prompt.survey",
        "convert",
        "engine.quantize",
    },
    "doctor": {"store", "gguf", "engine", "library.embedded"},
    "api": set(),
    "server": {"api", "service", "library", "manager", "doctor", "engine.probe"},
    "client": {"modelfile"},
    "notebook": {"client"},
    "widgets": {"notebook", "client", "modelfile"},
    "cli": {"client", "modelfile", "server", "library", "doctor"},
}
# outside package -> the only rooms that may import it
ONLY_IN: dict[str, set[str]] = {
    "llama_cpp": {
        "engine.constrain",
        "engine.model",
        "engine.batch",
        "engine.llama",
        "engine.logits",
        "engine.embedding",
        "engine.vocab",
        "engine.quantize",
        "engine.devices",
    },
    "llguidance": {"engine.constrain"},
    "tornado": {"server"},
    "jupyter_server": {"server"},
    "IPython": {"", "notebook", "widgets"},
    "ipywidgets": {"widgets"},
    "prompt_toolkit": {"cli"},
    "cryptography": {"registry"},
    "jinja2": {"prompt"},
    "ollama": {"client", "notebook", "widgets", "cli"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms if room) or (
        "" in rooms and module == ""
    )


@pytest.mark.parametrize(
    ("module", "path"), list(modules()), ids=lambda value: str(value) if isinstance(value, str) else ""
)
def test_imports_follow_the_arrows(module: str, path: Path) -> None:
    room = module.split(".")[0]
    assert room in MAY_IMPORT, f"a new room {room}: which rooms may it import?"
    allowed = MAY_IMPORT[room] | VALUES | {room} - {""}
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "ollama_jupyter" and rest and rest != "__version__":
            assert within(rest, allowed), f"{module} imports {rest}"
        if top in ONLY_IN:
            assert within(module, ONLY_IN[top]), f"{module} imports {top}"


def test_one_room_makes_paths_of_digests() -> None:
    """Where the digest has been parsed: a second place that does so is where a check is forgotten."""
    made = re.compile(r"""sha256-[{%]|["']sha256-["'] *\+|replace\(["']:["'], *["']-["']\)""")
    assert [path.name for path in PACKAGE.rglob("*.py") if made.search(path.read_text())] == ["names.py"]


def test_no_room_is_named_utils() -> None:
    assert not [path for path in PACKAGE.rglob("*") if "util" in path.name]


@pytest.mark.parametrize("heavy", ["llama_cpp", "numpy", "jinja2", "ollama", "IPython", "tornado"])
def test_importing_the_package_brings_nothing_heavy(heavy: str) -> None:
    code = f"import sys, ollama_jupyter; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
