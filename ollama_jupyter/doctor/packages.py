"""Checks of the Python environment: versions of what we need, and whether Jupyter knows us."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ollama_jupyter.reports import Check

DISTRIBUTION = "ollama-jupyter"
ENGINE = "llama-cpp-python"
EXTENSION = "ollama_jupyter"
LAB_EXTENSION = "ollama-jupyter"


def checks() -> Iterator[Check]:
    yield versions(importlib.metadata.requires(DISTRIBUTION) or ())
    yield _extension()


# ---- versions -----------------------------------------------------------------------------------------------------


def versions(requirements: Iterable[str]) -> Check:
    """Whether everything that we need is here, in a version that we know."""
    from packaging.requirements import Requirement

    needed = [Requirement(text) for text in requirements]
    needed = [requirement for requirement in needed if requirement.marker is None or requirement.marker.evaluate()]
    wrong = {str(r): problem for r in needed if (problem := _problem(r.name, r.specifier.contains))}
    python = ".".join(map(str, sys.version_info[:3]))
    if wrong:
        quoted = " ".join(f'"{requirement}"' for requirement in wrong)
        return Check("packages", "fail", ", ".join(wrong.values()), f"pip install {quoted}")
    return Check("packages", "ok", f"Python {python}, {ENGINE} {importlib.metadata.version(ENGINE)}")


def _problem(name: str, fits: object) -> str:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is not installed"
    assert callable(fits)
    return "" if fits(version, prereleases=True) else f"{name} {version} is not a version that this program knows"


def installation(name: str) -> str:
    """The command that installs one of our requirements in a version that fits."""
    from packaging.requirements import Requirement

    found = map(Requirement, importlib.metadata.requires(DISTRIBUTION) or ())
    text = next((f"{r.name}{r.specifier}" for r in found if r.name == name), name)
    return f'pip install "{text}"'


# ---- Jupyter ------------------------------------------------------------------------------------------------------


def _extension() -> Check:
    from jupyter_core.paths import jupyter_config_path, jupyter_path

    folders = [Path(folder) for folder in jupyter_config_path()]
    lab = any(Path(folder, LAB_EXTENSION).is_dir() for folder in jupyter_path("labextensions"))
    return extension(enabled(folders), lab)


def extension(server: bool | None, lab: bool) -> Check:
    """Whether Jupyter Server loads us, and JupyterLab finds its part. `server` None: it was never told."""
    if not server:
        detail = "Jupyter Server does not load the extension" + ("; it is disabled" if server is False else "")
        return Check("jupyter", "warn", detail, f"jupyter server extension enable {EXTENSION}")
    if not lab:
        fix = f"pip install --force-reinstall --no-deps {DISTRIBUTION}"
        return Check("jupyter", "warn", "the extension is on, but JupyterLab's part of it is not installed", fix)
    return Check("jupyter", "ok", "the extension is enabled")


def enabled(folders: Iterable[Path]) -> bool | None:
    """What Jupyter's configuration says of our extension; the folders come with the strongest first."""
    for folder in folders:
        files = [folder / "jupyter_server_config.json", *sorted(folder.glob("jupyter_server_config.d/*.json"))]
        said = [answer for file in files if (answer := _said(file)) is not None]
        if said:
            return said[0]
    return None


def _said(file: Path) -> bool | None:
    try:
        answer = json.loads(file.read_text())["ServerApp"]["jpserver_extensions"][EXTENSION]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return bool(answer)
