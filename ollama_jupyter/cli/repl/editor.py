"""The user's own editor, for prompts that outgrow the line."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ollama_jupyter.client.errors import OllamaError
from ollama_jupyter.config import Settings


def command() -> list[str]:
    """The editor and its arguments: OLLAMA_EDITOR, VISUAL, EDITOR, or vi.

    Raises:
        OllamaError: if there is no such program.
    """
    named = (Settings.from_env({"OLLAMA_EDITOR": os.environ.get("OLLAMA_EDITOR", "")}).editor,)
    chosen = next(filter(str.strip, (*named, os.environ.get("VISUAL", ""), os.environ.get("EDITOR", ""))), "vi")
    words = _words(chosen)
    if shutil.which(words[0]) is None:
        raise OllamaError(f'editor "{words[0]}" not found, set OLLAMA_EDITOR to the path of your preferred editor')
    return words


def _words(text: str) -> list[str]:
    """As a shell would split it; where quotes do not match, or on Windows' backslashes, at blanks."""
    try:
        return shlex.split(text) if os.name == "posix" else text.split()
    except ValueError:
        return text.split()


def edit(text: str) -> str:
    """Let the user edit `text` in the terminal; what it then is, without line breaks at its end.

    Raises:
        OllamaError: if the editor is missing or fails.
    """
    editor = command()
    with tempfile.TemporaryDirectory(prefix="ollama-prompt-") as folder:  # readable by its owner only
        file = Path(folder) / "prompt.txt"
        file.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*editor, str(file)], check=False).returncode
            edited = file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise OllamaError(f"editor: {error.strerror}") from None
    if code:
        raise OllamaError(f"editor exited with error: exit status {code}")
    return edited.rstrip("\r\n")
