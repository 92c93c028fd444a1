"""Publishing a file so that a crash or another process never sees half of it: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

FILE_MODE = 0o644
FOLDER_MODE = 0o755


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def open_temporary(folder: Path) -> tuple[BinaryIO, Path]:
    """A new file of a unique name in `folder`, open for writing."""
    make_folder(folder)
    number, name = tempfile.mkstemp(prefix="tmp-", dir=folder)
    return os.fdopen(number, "wb"), Path(name)


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
        file.close()
        temporary.unlink(missing_ok=True)
