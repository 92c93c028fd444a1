"""Plays a notebook in a running kernel, prints what comes as it comes, and records it in the notebook."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, TextIO

CELL_SECONDS = 900.0
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_SHOWN_LINES = 6


class Player:
    """Runs cells through a kernel's connection file. A cell has CELL_SECONDS to end."""

    def __init__(self, connection_file: Path, out: TextIO) -> None:
        from jupyter_client.blocking.client import BlockingKernelClient

        self.out = out
        self._client = BlockingKernelClient(connection_file=str(connection_file))
        self._client.load_connection_file()

    def __enter__(self) -> Player:
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()

    def play(self, notebook: Any) -> bool:
        """Run the code cells until one fails. Whether none did.

        Raises:
            TimeoutError: if a cell does not end in time.
        """
        return all(self._run(cell) for cell in notebook.cells if cell.cell_type == "code")

    def _run(self, cell: Any) -> bool:
        self._print_source(cell.source)
        cell.outputs = []
        recording = Recording(cell.outputs, self.out)
        reply = self._client.execute_interactive(
            cell.source, allow_stdin=False, output_hook=recording.add, timeout=CELL_SECONDS
        )
        recording.end_line()
        cell.execution_count = reply["content"].get("execution_count")
        return bool(reply["content"]["status"] == "ok")

    def _print_source(self, source: str) -> None:
        lines = source.splitlines()
        if len(lines) > _SHOWN_LINES:
            lines = [*lines[: _SHOWN_LINES - 1], "..."]
        self.out.write("\n" + "".join(f"> {line}\n" for line in lines) + "\n")
        self.out.flush()


class Recording:
    """One cell's outputs as a notebook keeps them, and their plain text, written once, as it grows."""

    def __init__(self, outputs: list[Any], out: TextIO) -> None:
        self._outputs = outputs
        self._out = out
        self._written: dict[str, str] = {}
        self._displays: dict[str, Any] = {}
        self._at_line_start = True

    def add(self, message: dict[str, Any]) -> None:
        """Take one message of the kernel's iopub channel."""
        kind, content = message["msg_type"], message["content"]
        display_id = content.get("transient", {}).get("display_id", "")
        if kind == "update_display_data":
            self._displays.get(display_id, {}).update(data=content["data"], metadata=content["metadata"])
        elif kind in ("stream", "display_data", "execute_result", "error"):
            self._keep(message, display_id)
        else:
            return
        self._show(kind, content, display_id)

    def _keep(self, message: dict[str, Any], display_id: str) -> None:
        v4: Any = importlib.import_module("nbformat.v4")
        output = v4.output_from_msg(message)
        last: Any = self._outputs[-1] if self._outputs else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
            return
        self._outputs.append(output)
        if display_id:
            self._displays[display_id] = output

    def _show(self, kind: str, content: dict[str, Any], display_id: str) -> None:
        if kind == "stream":
            self._write(content["text"])
        elif kind == "error":
            self._write("\n".join(content["traceback"]) + "\n")
        else:
            text = content["data"].get("text/plain", "")
            shown = self._written.get(display_id, "") if display_id else ""
            self._write(text.removeprefix(shown) if text.startswith(shown) else f"\n{text}")
            self._written[display_id] = text

    def _write(self, text: str) -> None:
        if not self._out.isatty():
            text = _ANSI.sub("", text)
        if text:
            self._out.write(text)
            self._out.flush()
            self._at_line_start = text.endswith("\n")

    def end_line(self) -> None:
        if not self._at_line_start:
            self._write("\n")
