from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from rcd import journal as journal_module
from rcd.journal import Journal
from rcd.verify_journal import main as verify_journal
from rclib.runtime.errors import StartError
from rclib.tunnel.enrolment import load_or_make_identity
from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.journal import verify

if TYPE_CHECKING:
    from pathlib import Path


def event(seq: int) -> AuditEvent:
    return AuditEvent(
        seq, 1000 + seq, AuditAction.ACCESS_CHANGED, None, "AMS page", {"access": "on"}
    )


def opened(directory: Path) -> Journal:
    return Journal(directory, load_or_make_identity(directory))


def everything(journal: Journal, page_bytes: int = 1000) -> list[bytes]:
    lines: list[bytes] = []
    seq = 0
    while page := journal.lines_after(seq, page_bytes):
        lines += page
        seq += len(page)
    return lines


def test_what_was_appended_is_read_and_verified_after_a_restart(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for seq in range(1, 11):
        journal.append(event(seq))
    again = opened(tmp_path)
    again.append(event(11))
    result = verify(everything(again), load_or_make_identity(tmp_path).public)
    assert (result.first_seq, result.last_seq, result.fault) == (1, 11, None)
    assert again.last_seq == 11
    assert again.lines_after(11, 1000) == ()


def test_a_page_is_bounded_and_never_empty_while_there_is_more(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for seq in range(1, 6):
        journal.append(event(seq))
    assert len(journal.lines_after(0, 1)) == 1
    one = len(journal.lines_after(0, 1)[0]) + 1
    assert len(journal.lines_after(0, 2 * one)) == 2
    assert len(journal.lines_after(1, 100 * one)) == 4


def test_the_oldest_events_make_room_and_the_rest_still_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_FILE_BYTES", 2000)
    journal = opened(tmp_path)
    for seq in range(1, 40):
        journal.append(event(seq))
    lines: list[bytes] = []
    seq = 0
    while page := journal.lines_after(seq, 1000):
        lines += page
        seq = verify(lines, load_or_make_identity(tmp_path).public).last_seq
    result = verify(lines, load_or_make_identity(tmp_path).public)
    assert result.fault is None
    assert 1 < result.first_seq < result.last_seq == 39
    assert sum(path.stat().st_size for path in tmp_path.glob("journal*")) <= 4000


def test_half_a_line_after_a_power_cut_goes_and_the_number_is_used_again(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(event(1))
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"event":{"seq":2')
    again = opened(tmp_path)
    assert again.last_seq == 1
    again.append(event(2))
    assert verify(everything(again), load_or_make_identity(tmp_path).public).fault is None


def test_a_full_disk_keeps_nothing_of_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    journal.append(event(1))
    real_write = os.write

    def short_write(fd: int, data: bytes) -> int:
        return real_write(fd, data[:10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", short_write)
        with pytest.raises(OSError, match="only a part"):
            journal.append(event(2))

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="no space"):
            journal.append(event(2))
    journal.append(event(2))
    assert verify(everything(journal), load_or_make_identity(tmp_path).public).last_seq == 2


def test_what_only_the_spool_has_is_taken_over(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(event(1))
    journal.catch_up([event(1), event(2), event(3)])
    assert journal.last_seq == 3


def test_a_spoiled_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(b"nonsense\n")
    with pytest.raises(StartError, match=r"journal\.jsonl, line 1"):
        opened(tmp_path)


class TestOnTheCommandLine:
    def test_an_intact_export_is_called_intact(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        journal = opened(tmp_path)
        journal.append(event(1))
        identity = load_or_make_identity(tmp_path)
        argv = [str(tmp_path / "journal.jsonl"), identity.public.hex()]
        assert verify_journal(argv) == 0
        assert identity.fingerprint in capsys.readouterr().out

    def test_a_changed_one_is_called_broken(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        opened(tmp_path).append(event(1))
        path = tmp_path / "journal.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"on"', b'"off"'))
        assert verify_journal([str(path), load_or_make_identity(tmp_path).public.hex()]) == 1
        assert "BROKEN" in capsys.readouterr().out

    @pytest.mark.parametrize("key", ["xyz", "abcd"])
    def test_a_key_that_is_none_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
    ) -> None:
        (tmp_path / "j").write_bytes(b"")
        assert verify_journal([str(tmp_path / "j"), key]) == 2
        assert "verify-journal" in capsys.readouterr().err
