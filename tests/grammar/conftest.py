"""The vocabulary of the real model, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawing import Drawer, vocabulary


@pytest.fixture(scope="session")
def drawer(smollm2: Path) -> Iterator[Drawer]:
    with vocabulary(str(smollm2)) as vocab:
        yield Drawer(vocab)
