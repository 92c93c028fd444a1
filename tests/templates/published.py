"""Chat templates as their publishers have them, from the sources of the installed llama-cpp-python.

They are never copied into this repository: `golden/prompts.json` holds what jinja2 makes of them.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

DISTRIBUTION = "llama-cpp-python"
TODAY = datetime(2026, 3, 14, 9, 26, 53)
_ENTRY = re.compile(
    r'/\* \.name= \*/ "([^"]*)",\s*(?://[^\n]*\s*)*/\* \.template_str= \*/ (?:u8)?("(?:[^"\\]|\\.)*"|R"\((.*?)\)")',
    re.DOTALL,
)


@lru_cache(maxsize=1)
def sources() -> Path:
    """A folder with llama.cpp's collection of templates; fetched once, and kept in the machine's temporary folder."""
    version = importlib.metadata.version(DISTRIBUTION)
    folder = Path(tempfile.gettempdir()) / f"llama-templates-{version}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", DISTRIBUTION]
            subprocess.run([*pip, "-d", scratch, f"{DISTRIBUTION}=={version}"], check=True)
            with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
                wanted = [m for m in archive if re.search(r"models/templates/|tests/test-chat-template\.cpp$", m.name)]
                archive.extractall(scratch, wanted, filter="data")
            with contextlib.suppress(OSError):  # another run was faster
                next(Path(scratch).glob("*/vendor/llama.cpp")).rename(folder)
    return folder


def template(source: str) -> str:
    """The template of a source: a file of `models/templates`, or `name=` of an entry of `test-chat-template.cpp`."""
    if source.endswith(".jinja"):
        return (sources() / "models" / "templates" / source).read_text("utf-8")
    return _entries()[source]


@lru_cache(maxsize=1)
def _entries() -> dict[str, str]:
    text = (sources() / "tests" / "test-chat-template.cpp").read_text("utf-8")
    return {name: raw or ast.literal_eval(quoted) for name, quoted, raw in _ENTRY.findall(text)}


def reference(source: str, names: dict[str, Any]) -> str:
    """What jinja2 makes of the template, set up as Hugging Face's `apply_chat_template` does it."""

    def tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals.update(raise_exception=refuse, strftime_now=TODAY.strftime)
    source = re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", source)
    return environment.from_string(source).render(add_generation_prompt=True, **names)
