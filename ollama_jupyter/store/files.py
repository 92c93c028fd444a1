"""Publishing a file so that a crash or another process never sees half of it: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FRESH_SECONDS = 60

FILE_MODE = 0o644
FOLDER_MODE = 0o755


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def open_temporary(folder: Path) -> tuple[BinaryIO, Path]:
    """A new file of a unique name in `folder`, open for writing."""
    make_folder(folder)
    number, name = tempfile.mkstemp(prefix="tmp-", dir=folder)
    claim(number)
    return os.fdopen(number, "wb"), Path(name)


def discard(file: BinaryIO, temporary: Path) -> None:
    """Close and remove a temporary file, whose last bytes may have found no room."""
    with contextlib.suppress(OSError):
        file.close()
    temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Delete the temporary files and folders that a killed process left in `folder`; how many there were."""
    left = [path for path in folder.glob("tmp-*") if _is_left_over(path)]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)


def _is_left_over(path: Path) -> bool:
    """Whether nobody works on it any more: its lock is free, and it is not just being made."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # gone, or not ours to read
        return False
    try:
        return time.time() - os.fstat(number).st_mtime > FRESH_SECONDS and claim(number)
    finally:
        os.close(number)


def claim(number: int) -> bool:
    """Lock an open file or folder for this process until it is closed. False if another has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        return False
    return True


def publish(file: BinaryIO, temporary: Path, target: Path) -> None:
    """Make the finished temporary file appear as `target`, durably: its content first, then its name."""
    file.flush()
    os.fchmod(file.fileno(), FILE_MODE)
    os.fsync(file.fileno())
    file.close()
    make_folder(target.parent)
    temporary.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    # Not every file system lets a folder be opened or synced; the rename has happened all the same.
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def write_atomically(data: bytes, target: Path, *, folder: Path) -> None:
    """Write `data` to `target` by way of a temporary file in `folder`, which must be on the same file system."""
    file, temporary = open_temporary(folder)
    try:
        file.write(data)
        publish(file, temporary, target)
    finally:
        discard(file, temporary)
