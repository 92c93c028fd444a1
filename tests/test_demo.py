"""`ollama-jupyter demo`: a real Jupyter server and kernel, against a fake model server (see fake_ollama.py)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from fake_ollama import KEY, FakeOllama

from ollama_jupyter.cli import demo, main


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeOllama]:
    server = FakeOllama()
    monkeypatch.setenv("OLLAMA_HOST", server.host)
    monkeypatch.setenv("OLLAMA_JUPYTER_CONNECT_KERNELS", "0")  # else the kernel would be given the real server
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield server
    server.close()


def written(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, path)
    return path


def texts(path: Path) -> list[str]:
    """The plain text of every output in a saved notebook, in order."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    outputs: list[Any] = [output for cell in cells for output in cell.outputs]
    return [
        "\n".join(o["traceback"]) if "traceback" in o else o.get("text") or o["data"]["text/plain"] for o in outputs
    ]


def test_cells_are_played_and_recorded(fake: FakeOllama, tmp_path: Path, capsys: Any) -> None:
    fake.says("Blue ", "light ", "scatters.")
    source = written(
        tmp_path / "in.ipynb",
        "%load_ext ollama_jupyter",
        "%%ollama -o a\nwhy?",
        "for i in range(3): print(i)\na.text",
        "%ollama",
    )
    output = tmp_path / "out" / "done.ipynb"
    assert main(["demo", "--notebook", str(source), "--output", str(output), "--no-browser"]) == 0
    answer, printed, value, status = texts(output)
    assert answer == "Blue light scatters.\n\n(20 tokens · 40.0 tokens/s · 2.0 s)"
    assert (printed, value) == ("0\n1\n2\n", "'Blue light scatters.'")
    assert "smollm2:135m" in status
    shown = capsys.readouterr().out
    assert shown.count("Blue light scatters.\n\n(20 tokens") == 1, "an answer is written once, as it grows"
    assert "> %%ollama -o a\n> why?" in shown
    assert str(output) in shown
    assert f"jupyter lab {output}" in shown
    assert KEY not in output.read_text()


def test_a_failing_cell_is_exit_code_1(fake: FakeOllama, tmp_path: Path, capsys: Any) -> None:
    source = written(tmp_path / "in.ipynb", "print('before')", "1 / 0", "print('after')")
    output = tmp_path / "out.ipynb"
    assert main(["demo", "--notebook", str(source), "--output", str(output), "--no-browser"]) == 1
    before, error = texts(output)
    assert before == "before\n"
    assert "ZeroDivisionError" in error
    shown = capsys.readouterr()
    assert "ZeroDivisionError" in shown.out
    assert "A cell failed" in shown.err


def test_the_quickstart_runs(fake: FakeOllama, tmp_path: Path) -> None:
    """Every cell of it; what its checks print is what the notebook says that they print."""
    fake.says("The ", "sky ", "is ", "blue ", "today.")
    output = tmp_path / "folder"
    assert main(["demo", "--output", str(output), "--no-browser"]) == 0
    stored = nbformat.read(demo.quickstart(), as_version=4)
    executed = nbformat.read(output / demo.NAME, as_version=4)
    checks = [
        (cell.outputs, ran.outputs)
        for cell, ran in zip(stored.cells, executed.cells, strict=True)
        if cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", [])
    ]
    assert len(checks) >= 5
    for expected, actual in checks:
        assert [o.text for o in actual] == [o.text for o in expected]


def test_the_server_ends_with_the_demo(fake: FakeOllama, tmp_path: Path) -> None:
    """SIGTERM in the middle of a cell: nothing is left behind."""
    pids = tmp_path / "pids"
    source = written(
        tmp_path / "in.ipynb",
        f"import os, time\nopen({str(pids)!r}, 'w').write(f'{{os.getppid()}} {{os.getpid()}}')",
        "time.sleep(600)",
    )
    code = "import sys; from ollama_jupyter.cli import main; sys.exit(main(['demo', *sys.argv[1:]]))"
    arguments = ["--notebook", str(source), "--output", str(tmp_path / "o.ipynb"), "--no-browser"]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("time.sleep" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 143
    for pid in map(int, pids.read_text().split()):
        assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_a_server_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main(["demo", "--output", str(tmp_path), "--no-browser"]) == 1
    assert "did not start" in capsys.readouterr().err
