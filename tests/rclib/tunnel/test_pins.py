from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rclib.runtime.errors import StartError
from rclib.tunnel.pins import Pins
from rclib.wire.ids import EndpointId, IdentityKey

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY = EndpointId("gwy_" + "a" * 16)
KEY, OTHER = IdentityKey(b"k" * 32), IdentityKey(b"o" * 32)


def test_the_first_key_seen_is_the_only_one_accepted_later(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "pins.json")
    assert not pins.is_changed(GATEWAY, KEY)
    assert pins.pin(GATEWAY, KEY)
    assert not pins.pin(GATEWAY, KEY)
    assert pins.is_changed(GATEWAY, OTHER)
    with pytest.raises(ValueError, match="another identity"):
        pins.pin(GATEWAY, OTHER)


def test_pins_outlive_the_process(tmp_path: Path) -> None:
    Pins(tmp_path / "pins.json").pin(GATEWAY, KEY)
    assert Pins(tmp_path / "pins.json").known(GATEWAY) == KEY


@pytest.mark.parametrize("data", [b"", b"{", b'{"x":"y"}', b"[]"])
def test_damaged_pins_stop_the_start_instead_of_trusting_anyone(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "pins.json").write_bytes(data)
    with pytest.raises(StartError, match="accept each peer"):
        Pins(tmp_path / "pins.json")
