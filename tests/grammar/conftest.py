"""The vocabulary of the real model, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawing import Drawer

from ollama_jupyter.engine.model import C, init_library
from ollama_jupyter.engine.vocab import Vocab


@pytest.fixture(scope="session")
def drawer(smollm2: Path) -> Iterator[Drawer]:
    init_library()
    params = C.llama_model_default_params()
    params.vocab_only = True
    model = C.llama_model_load_from_file(str(smollm2).encode(), params)
    yield Drawer(Vocab(model))
    C.llama_model_free(model)
