"""Servers for the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Cli
from doors import serve
from fake_ollama import FakeOllama
from models import write_tiny_gguf


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Against a server of its own, whose store is empty. The working folder holds `tiny.gguf`."""
    folder = tmp_path_factory.mktemp("work")
    write_tiny_gguf(folder / "tiny.gguf")
    # The embedded model would appear in every list.
    with serve(tmp_path_factory.mktemp("models")) as door:
        yield Cli(door.url, folder)


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    fake = FakeOllama()
    yield fake
    fake.close()


@pytest.fixture
def faked(fake: FakeOllama, tmp_path: Path) -> Cli:
    """Against a server that says what the test tells it to say."""
    return Cli(fake.host, tmp_path)
