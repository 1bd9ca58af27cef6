"""Files that are either the old or the new version, and reads that end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

from rclib.runtime.errors import FileTooLargeError


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` with `data`: after a crash there is the old file or the new one.

    Raises OSError (disk full, no permission); the old file is then untouched and no
    temporary file is left behind. Blocks for two fsyncs: call it from a thread where
    a busy loop matters.
    """
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            if hasattr(os, "fchmod"):  # not on Windows, where the directory's ACL is inherited
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def append_durably(path: Path, line: bytes) -> None:
    """Add `line` to a file, on disk when this returns; makes the file if need be.

    Raises OSError, and then nothing of the line is there: a full disk may take a part of it, and
    that part goes again. The caller is the file's only writer. Blocks for an fsync.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        try:
            if os.write(fd, line) != len(line):
                raise OSError("the disk took only a part of the line")
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def read_whole_lines(path: Path, limit: int) -> list[bytes]:
    """Read the lines of `append_durably`, without their ends; none where there is no file.

    One that a power cut left half written was never reported as written: it is removed. Raises
    FileTooLargeError beyond `limit` bytes, else OSError.
    """
    try:
        *lines, rest = read_bounded(path, limit).split(b"\n")
    except FileNotFoundError:
        return []
    if rest:
        write_atomic(path, b"".join(line + b"\n" for line in lines))
    return lines


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes; raises FileTooLargeError beyond, else OSError."""
    with path.open("rb") as file:
        return read_open_file(file, path, limit)


def read_open_file(file: IO[bytes], path: Path, limit: int) -> bytes:
    """Read the rest of an open file like `read_bounded`; `path` is for the message."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise FileTooLargeError(f"{path}: larger than the {limit} bytes expected at most")
    return data


def _sync_directory(directory: Path) -> None:
    """Make the rename itself survive a power cut."""
    if os.name != "posix":  # Windows cannot open directories; its file system journals renames
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
