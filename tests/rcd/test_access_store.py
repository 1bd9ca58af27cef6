from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rcd.access_store import AccessStore
from rclib.wire.access import AccessMode

if TYPE_CHECKING:
    from pathlib import Path

BOOT = "boot-1"


def test_it_ships_off(tmp_path: Path) -> None:
    store = AccessStore(tmp_path / "access.json", BOOT)
    assert not store.is_on(0)
    assert store.damage == ""


def test_on_survives_a_restart_of_the_daemon(tmp_path: Path) -> None:
    AccessStore(tmp_path / "a", BOOT).turn_on(None, "anna", 10, 1)
    assert AccessStore(tmp_path / "a", BOOT).is_on(99)
    assert AccessStore(tmp_path / "a", BOOT).state.changed_by == "anna"


def test_on_until_ends_by_the_boot_clock(tmp_path: Path) -> None:
    store = AccessStore(tmp_path / "a", BOOT)
    store.turn_on(3600, "anna", 10, 1)
    assert store.is_on(3609)
    assert not store.is_on(3610)


def test_on_until_does_not_survive_a_reboot(tmp_path: Path) -> None:
    AccessStore(tmp_path / "a", BOOT).turn_on(3600, "anna", 10, 1)
    assert not AccessStore(tmp_path / "a", "boot-2").is_on(11)


@pytest.mark.parametrize("data", [b"", b"{", b'{"mode":"on","x":1}', b'{"mode":"yes"}', b"\xff"])
def test_whatever_cannot_be_read_is_off_and_says_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    store = AccessStore(tmp_path / "a", BOOT)
    assert not store.is_on(0)
    assert store.damage


def test_on_that_cannot_be_kept_stays_off(tmp_path: Path) -> None:
    store = AccessStore(tmp_path / "missing" / "a", BOOT)
    with pytest.raises(OSError, match="missing"):
        store.turn_on(None, "anna", 0, 1)
    assert not store.is_on(0)


def test_off_holds_even_if_the_disk_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AccessStore(tmp_path / "a", BOOT)
    store.turn_on(None, "anna", 0, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rcd.access_store.write_atomic", full)
    store.turn_off("anna", 2)
    assert store.state.mode is AccessMode.OFF
    assert not AccessStore(tmp_path / "a", BOOT).is_on(0)
