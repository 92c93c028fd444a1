"""Runs a child program of ours to its end: a line of JSON in, lines of JSON out, and no child without its reader.

The child says `{"completed": n, "total": m}` any number of times, then `{"done": true}` or `{"error": "text"}`. Other
lines of its output are somebody else's chatter.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from ollama_jupyter import processes
from ollama_jupyter.errors import BadRequest, EngineError, InsufficientMemory

log = logging.getLogger("ollama_jupyter.library")

Tell = Callable[[int, int], None]
"""Told how much of how much is done. Whatever it raises ends the child."""

STALL_S = 600.0
"""Seconds that a child may stay silent: the largest tensor of the largest model takes less."""
BEAT_S = 1.0
"""Seconds after which the last word is told again, so that a reader who has gone is noticed."""
END_S = 10.0

_turns = threading.BoundedSemaphore(2)
"""Each child keeps the processor, or the disk, busy by itself."""


def run(module: str, arguments: Mapping[str, object], tell: Tell, *, stall: float = STALL_S) -> None:
    """Run `module` with `arguments` and pass its progress on; from a thread that may wait, for its turn too.

    Raises:
        BadRequest: what the child found wrong with what it was given, in its words.
        InsufficientMemory: it was killed.
        EngineError: it ended without a word, or said nothing for `stall` seconds.
    """
    with _turn(tell), _started(module, arguments) as (child, lines):
        done, total = 0, 0
        for message in _messages(lines, stall):
            if "error" in message:
                raise BadRequest(str(message["error"]))
            if "done" in message:
                return
            done, total = int(message.get("completed", done)), int(message.get("total", total))
            tell(done, total)
        raise _death(child.wait(END_S))


@contextlib.contextmanager
def _turn(tell: Tell) -> Iterator[None]:
    """One of the few that run at a time."""
    while not _turns.acquire(timeout=BEAT_S):
        tell(0, 0)
    try:
        yield
    finally:
        _turns.release()


@contextlib.contextmanager
def _started(
    module: str, arguments: Mapping[str, object]
) -> Iterator[tuple[subprocess.Popen[bytes], queue.Queue[bytes]]]:
    """The child and the lines it writes, `b""` for its end. It is gone when the block ends."""
    child = subprocess.Popen(
        processes.command(module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=processes.environment(),
        start_new_session=True,  # Ctrl-C in the server's terminal is not meant for it
    )
    assert child.stdin is not None
    assert child.stdout is not None
    lines: queue.Queue[bytes] = queue.Queue()
    reader = threading.Thread(target=_read, args=(child.stdout, lines), daemon=True)
    reader.start()
    try:
        with contextlib.suppress(BrokenPipeError):  # dead already: its end tells
            child.stdin.write(json.dumps(dict(arguments)).encode() + b"\n")
            child.stdin.flush()
        yield child, lines
    finally:
        child.kill()
        child.wait()
        reader.join()
        child.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()


def _read(stdout: IO[bytes], lines: queue.Queue[bytes]) -> None:
    for line in stdout:
        lines.put(line)
    lines.put(b"")


def _messages(lines: queue.Queue[bytes], stall: float) -> Iterator[dict[str, Any]]:
    """What the child says, until it ends; an empty message for every BEAT_S of silence."""
    heard = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=min(BEAT_S, stall))
        except queue.Empty:
            if time.monotonic() - heard > stall:
                raise EngineError(f"the work stalled: nothing was heard of it for {stall:.0f} seconds") from None
            yield {}
            continue
        if not line:
            return
        heard = time.monotonic()
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if isinstance(message, dict):
                yield message


def _death(code: int) -> EngineError:
    """Why a child without a last word has ended."""
    if code == -signal.SIGKILL:
        return InsufficientMemory("the work was killed: it needs more memory than there is")
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return EngineError(f"the work ended without a result ({name}): the files are damaged, or of a kind unknown here")
