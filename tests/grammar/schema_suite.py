"""The JSON-Schema-Test-Suite's schemas of draft 2020-12, from the source distribution of `jsonschema`."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

_PART = "/json/tests/draft2020-12/"


def schemas() -> list[tuple[str, dict[str, Any]]]:
    """Name and schema of each case whose schema is an object, without the optional ones."""
    found = []
    for name, text in sorted(_files().items()):
        found += [(f"{name}: {case['description']}", case["schema"]) for case in json.loads(text)]
    return [(name, schema) for name, schema in found if isinstance(schema, dict)]


def _files() -> dict[str, str]:
    with tarfile.open(_archive()) as archive:
        names = [name for name in archive.getnames() if _PART in name and name.endswith(".json")]
        plain = [name for name in names if "/" not in name.partition(_PART)[2]]
        return {name.rpartition("/")[2]: _read(archive, name) for name in plain}


def _read(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    assert file is not None
    return file.read().decode()


def _archive() -> Path:
    """The archive; fetched once, kept in the machine's folder for temporary files."""
    version = importlib.metadata.version("jsonschema")
    folder = Path(tempfile.gettempdir()) / f"jsonschema-{version}"
    if not (found := list(folder.glob("*.tar.gz"))):
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
        with tempfile.TemporaryDirectory() as scratch:
            wanted = ["--no-binary", "jsonschema", "-d", scratch, f"jsonschema=={version}"]
            subprocess.run([*pip, *wanted], check=True)
            folder.mkdir(exist_ok=True)
            made = next(Path(scratch).glob("*.tar.gz"))
            made.replace(folder / made.name)
        found = list(folder.glob("*.tar.gz"))
    return found[0]
