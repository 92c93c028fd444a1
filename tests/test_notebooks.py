"""The notebooks run, cell by cell, against the real server and model, and say again what is stored in them.

Cells whose output is the model's own words, or a time, are marked in the notebook; the others must match.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doors import serve

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_what_is_stored(notebook: Path, tmp_path: Path) -> None:
    with serve(tmp_path / "models") as door:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", str(notebook)],
            env=os.environ | {"OLLAMA_HOST": door.url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "passed" in done.stdout
