from __future__ import annotations

import pytest

from ams.rcd_client import Contact
from ams.view import Shown, is_done, spelt_path, view_of
from ams.words import WORDS
from rclib.pages.language import Language
from rclib.wire.access import AccessMode
from rclib.wire.gate import LIFETIME_S
from rclib.wire.local import EndSession, GateState, SetAccess, Status
from rclib.wire.session import PathKind, PathStatus
from tests.ams.conftest import SESSION, a_session, off, on

NOW_MS = 1_000_000


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (None, Shown.UNKNOWN),
        (off(), Shown.OFF),
        (on(), Shown.ON),
        (off(sessions=(a_session(),)), Shown.CLOSING),
    ],
)
def test_off_is_shown_only_where_it_is_certain(status: Status | None, shown: Shown) -> None:
    assert view_of(status, Contact(), NOW_MS).shown is shown


def test_while_rcd_is_silent_the_page_says_by_when_the_kernel_has_closed() -> None:
    contact = Contact()
    contact.missed(NOW_MS)
    contact.missed(NOW_MS + 5000)
    view = view_of(None, contact, NOW_MS + 5000)
    assert view.rcd_closed_by_ms == NOW_MS + LIFETIME_S * 1000
    contact.heard(off(), NOW_MS + 6000)
    assert view_of(None, contact, NOW_MS + 6000).rcd_closed_by_ms is None


def test_the_same_goes_for_the_gate() -> None:
    contact = Contact()
    away = on(gate=GateState.UNREACHABLE)
    contact.heard(away, NOW_MS)
    assert view_of(away, contact, NOW_MS).gate_closed_by_ms == NOW_MS + LIFETIME_S * 1000
    contact.heard(on(), NOW_MS + 1)
    assert view_of(on(), contact, NOW_MS + 1).gate_closed_by_ms is None


@pytest.mark.parametrize(
    ("wanted", "status", "done"),
    [
        (SetAccess(AccessMode.OFF, "x"), off(), True),
        (SetAccess(AccessMode.OFF, "x"), on(), False),
        (SetAccess(AccessMode.OFF, "x"), off(sessions=(a_session(),)), False),
        (SetAccess(AccessMode.ON, "x"), on(), True),
        (SetAccess(AccessMode.ON, "x"), off(), False),
        (SetAccess(AccessMode.ON_UNTIL, "x", 60), on(), False),
        (EndSession(SESSION, "x"), on(), True),
        (EndSession(SESSION, "x"), on(sessions=(a_session(),)), False),
    ],
)
def test_only_what_the_status_shows_counts_as_done(
    wanted: SetAccess | EndSession, status: Status, done: bool
) -> None:
    assert is_done(wanted, status) is done


def test_a_path_is_spelt_with_what_is_known_of_it() -> None:
    english, german = (Language(code, WORDS) for code in ("en", "de"))
    relayed = PathStatus(PathKind.RELAY, 1, relay="eu1", mtu=1280)
    assert spelt_path(relayed, english) == "MTU 1280 \u00b7 relay eu1"
    direct = PathStatus(
        PathKind.DIRECT,
        1,
        relay="eu1",
        region="west",
        own_endpoint="198.51.100.2:1",
        peer_endpoint="192.0.2.2:2",
        rtt_ms=14.2,
    )
    said = "RTT 14.2 ms \u00b7 relay eu1 (west) \u00b7 198.51.100.2:1 \u2194 192.0.2.2:2"
    assert spelt_path(direct, english) == said
    assert spelt_path(direct, german) == said.replace("14.2", "14,2")
