"""`python -m ollama_jupyter` is `ollama-jupyter`."""

from __future__ import annotations

import sys

from ollama_jupyter.cli import main

if __name__ == "__main__":
    sys.exit(main())
