"""A pull in a process of its own: `python child_pull.py MODELS NAME [ROUNDS]`.

With ROUNDS, there are so many, each followed by a delete. Before the first a line is printed, and an error at the end.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from ollama_jupyter.errors import OllamaJupyterError
from ollama_jupyter.names import ModelName
from ollama_jupyter.registry import Access, pull
from ollama_jupyter.store.models import Store


def main(models: str, text: str, rounds: int = 0) -> None:
    store, name = Store(Path(models)), ModelName.parse(text)
    access = Access(insecure=True, trusted=True, key=Path(models, "key"))
    print("ready", flush=True)
    for _ in range(rounds or 1):
        pull(store, name, access=access, report=lambda line: None, cancel=threading.Event(), prune=True)
        if rounds:
            with store.lock:
                manifest = store.manifests.get(name)
                assert manifest
                store.manifests.delete(name)
                store.prune(manifest.digests)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
    except OllamaJupyterError as error:
        sys.exit(error.message)
