"""`ollama-jupyter demo`: the quickstart notebook, run in a real kernel of a real Jupyter server, in the terminal."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import signal
import sys
import webbrowser
from pathlib import Path
from typing import Any, NoReturn

from ollama_jupyter.cli.child_server import ChildServer
from ollama_jupyter.cli.commands import Call
from ollama_jupyter.cli.player import Player

NAME = "01-quickstart.ipynb"
_NEEDED = ("ipykernel", "jupyter_client", "jupyter_server", "nbformat")


def run(call: Call) -> int:
    """Run the demo. The exit code: 0 if every cell ran, else 1, and 130 if interrupted."""
    notebook = Path(call.flags["notebook"]) if call.flags["notebook"] else None
    missing = [module for module in _NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        print(f"The demo needs {', '.join(missing)}: pip install 'ollama-jupyter[demo]'", file=sys.stderr)
        return 1
    previous = signal.signal(signal.SIGTERM, _terminated)
    try:
        return _demo(notebook, _output_path(Path(call.flags["output"])), browser=not call.flags["no_browser"])
    except KeyboardInterrupt:
        return 130
    except (RuntimeError, TimeoutError) as error:
        print(f"Error: {error or 'a cell did not end in time'}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)


def _output_path(given: Path) -> Path:
    """The file to write: a folder stands for the quickstart's name in it."""
    path = given.expanduser().resolve()
    return path if path.suffix == ".ipynb" else path / NAME


def quickstart() -> Path:
    """The notebook as it was installed, or where it is in the source tree.

    Raises:
        RuntimeError: if it is in neither place.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if (folder / NAME).is_file():
            return folder / NAME
    raise RuntimeError(f"{NAME} is missing from this installation")


def _demo(source: Path | None, output: Path, *, browser: bool) -> int:
    nbformat: Any = importlib.import_module("nbformat")
    notebook = nbformat.read(source or quickstart(), as_version=4)
    output.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, output)
    print("Starting a Jupyter server ...", flush=True)
    with ChildServer(output.parent) as server:
        print(f"Running {output.name} in a kernel of the server at {server.url}", flush=True)
        with Player(server.start_kernel(output.name), sys.stdout) as player:
            try:
                succeeded = player.play(notebook)
            finally:
                nbformat.write(notebook, output)
        print(f"\nThe executed notebook is {output}")
        if not succeeded:
            print("A cell failed; its error is above and in the notebook.", file=sys.stderr)
            return 1
        if browser and _can_open():
            _open(server, output.name)
            return 0
    print(f"Open it with: jupyter lab {shlex.quote(str(output))}")
    return 0


def _can_open() -> bool:
    """Whether somebody sits at a terminal with a display beside it, and JupyterLab is there to be shown."""
    has_display = sys.platform in ("win32", "darwin") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and has_display and importlib.util.find_spec("jupyterlab") is not None


def _open(server: ChildServer, name: str) -> None:
    page = server.page(name)
    print(f"JupyterLab has it at {page}\nCtrl-C ends the server.", flush=True)
    webbrowser.open(page)
    try:
        server.wait()
    except KeyboardInterrupt:
        print()


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)  # unwinds, so that the server is ended
