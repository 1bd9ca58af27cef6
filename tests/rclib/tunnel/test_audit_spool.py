from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rclib.runtime.errors import StartError
from rclib.tunnel import audit_spool
from rclib.tunnel.audit_spool import AuditSpool, SpoolFullError
from rclib.wire.audit import MAX_BATCH, AuditAction

if TYPE_CHECKING:
    from pathlib import Path


def fill(spool: AuditSpool, count: int) -> None:
    for number in range(count):
        spool.append(AuditAction.GATEWAY_STARTED, at_ms=number)


def test_numbers_go_on_without_a_gap_after_a_restart(tmp_path: Path) -> None:
    fill(AuditSpool(tmp_path / "s"), 3)
    spool = AuditSpool(tmp_path / "s")
    fill(spool, 2)
    assert [event.seq for event in spool.batch()] == [1, 2, 3, 4, 5]


def test_what_is_stored_over_there_is_not_sent_again(tmp_path: Path) -> None:
    spool = AuditSpool(tmp_path / "s")
    fill(spool, 5)
    spool.stored(3)
    assert [event.seq for event in spool.batch()] == [4, 5]


def test_the_number_survives_when_everything_is_stored(tmp_path: Path) -> None:
    spool = AuditSpool(tmp_path / "s")
    fill(spool, 4)
    spool.stored(4)
    reopened = AuditSpool(tmp_path / "s")
    reopened.stored(4)
    assert reopened.batch() == ()
    fill(reopened, 1)
    assert [event.seq for event in reopened.batch()] == [5]


def test_a_claim_to_have_stored_the_future_is_ignored(tmp_path: Path) -> None:
    spool = AuditSpool(tmp_path / "s")
    fill(spool, 2)
    spool.stored(9)
    assert len(spool.batch()) == 2


def test_a_batch_is_bounded(tmp_path: Path) -> None:
    spool = AuditSpool(tmp_path / "s")
    fill(spool, MAX_BATCH + 5)
    assert len(spool.batch()) == MAX_BATCH


def test_a_line_cut_by_a_power_loss_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    fill(AuditSpool(tmp_path / "s"), 2)
    with (tmp_path / "s").open("ab") as file:
        file.write(b'{"seq":3,"at_')
    spool = AuditSpool(tmp_path / "s")
    assert spool.last_seq == 2
    fill(spool, 1)
    assert AuditSpool(tmp_path / "s").last_seq == 3


def test_a_damaged_record_stops_the_start_instead_of_being_forgotten(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"nonsense\n")
    with pytest.raises(StartError, match="move it aside"):
        AuditSpool(tmp_path / "s")


def test_a_full_spool_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_spool, "MAX_SPOOL_BYTES", 300)
    spool = AuditSpool(tmp_path / "s")
    with pytest.raises(SpoolFullError):
        fill(spool, 10)
    assert AuditSpool(tmp_path / "s").last_seq == spool.last_seq > 0
