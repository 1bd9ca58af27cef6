from __future__ import annotations

import os
import resource
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.runtime.errors import FileTooLargeError
from rclib.runtime.files import append_durably, read_bounded, read_whole_lines, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 64 bytes: write(2) fails as on a full disk.

    No fixture: between a test and its teardown pytest writes to its own output, maybe a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_new_file_has_the_data_and_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "state"

    write_atomic(path, b"data", 0o640)

    assert path.read_bytes() == b"data"
    assert path.stat().st_mode & 0o7777 == 0o640


def test_the_mode_is_private_unless_said_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    path.chmod(0o644)

    write_atomic(path, b"new")

    assert path.stat().st_mode & 0o7777 == 0o600


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")

    with full_disk(), pytest.raises(OSError, match="too large"):
        write_atomic(path, b"x" * 65)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_is_not_possible_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir()

    with pytest.raises(IsADirectoryError):
        write_atomic(path, b"data")

    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_with_the_old_file_open_keeps_the_old_version(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old version")
    with path.open("rb", buffering=0) as reader:
        assert reader.read(3) == b"old"
        write_atomic(path, b"new version")

        assert reader.read() == b" version"
    assert path.read_bytes() == b"new version"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        write_atomic(tmp_path / "state", b"data")

    assert set(Path("/proc/self/fd").iterdir()) == before


@given(size=st.integers(0, 40), limit=st.integers(0, 40))
def test_a_file_is_read_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, size: int, limit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "bounded"
    path.write_bytes(b"x" * size)

    if size <= limit:
        assert read_bounded(path, limit) == b"x" * size
    else:
        with pytest.raises(FileTooLargeError, match=f"{limit} bytes"):
            read_bounded(path, limit)


def test_a_device_without_end_is_refused() -> None:
    with pytest.raises(FileTooLargeError):
        read_bounded(Path("/dev/zero"), 1000)


class TestAppendDurably:
    def test_lines_follow_each_other_in_a_file_only_its_owner_reads(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        append_durably(path, b"one\n")
        append_durably(path, b"two\n")
        assert path.read_bytes() == b"one\ntwo\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_of_a_line_the_disk_takes_a_part_of_nothing_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "log"
        append_durably(path, b"one\n")
        real_write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, data[:2]))
        with pytest.raises(OSError, match="only a part"):
            append_durably(path, b"two\n")
        assert path.read_bytes() == b"one\n"


class TestReadWholeLines:
    def test_a_line_that_a_power_cut_left_half_written_is_gone_for_good(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "log"
        for line in (b"one\n", b"two\n", b"thr"):
            append_durably(path, line)
        assert read_whole_lines(path, 100) == [b"one", b"two"]
        append_durably(path, b"three\n")
        assert read_whole_lines(path, 100) == [b"one", b"two", b"three"]

    def test_where_there_is_no_file_there_are_no_lines(self, tmp_path: Path) -> None:
        assert read_whole_lines(tmp_path / "log", 100) == []
