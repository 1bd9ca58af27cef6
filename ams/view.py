"""What the page says about a status. Pure. In doubt it says more access, never less."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rclib.wire.access import AccessMode
from rclib.wire.gate import LIFETIME_S
from rclib.wire.local import EndSession, KeySwitchState, Refuse, Release, SetAccess

if TYPE_CHECKING:
    from ams.rcd_client import Contact
    from rclib.pages.language import Language
    from rclib.wire.local import Request, Status
    from rclib.wire.session import PathStatus


def spelt_path(path: PathStatus, language: Language) -> str:
    """What technicians ask about a path; the abbreviations are the same in every language."""
    ends = f"{path.own_endpoint} ↔ {path.peer_endpoint}" if path.peer_endpoint else ""
    place = f" ({path.region})" if path.region else ""
    known = (
        "" if path.rtt_ms is None else f"RTT {language.number(path.rtt_ms)} ms",
        f"MTU {path.mtu}" if path.mtu else "",
        f"relay {path.relay}{place}" if path.relay else "",
        ends,
    )
    return " · ".join(filter(None, known))


class Shown(StrEnum):
    """The big word."""

    OFF = "off"
    ON = "on"
    CLOSING = "closing"
    """Switched off, and yet sessions are listed."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class View:
    """The state as the page shows it; times in UTC ms."""

    shown: Shown
    status: Status | None
    until_ms: int | None
    """Of ON until."""
    rcd_closed_by_ms: int | None
    """By when the kernel has closed if rcd has stopped; None: rcd answers."""
    gate_closed_by_ms: int | None
    """The same for the gate."""


def view_of(status: Status | None, contact: Contact, now_ms: int) -> View:
    """`status` None: rcd did not answer."""
    remaining_s = status.remaining_s if status is not None and status.is_on else None
    return View(
        shown=_shown(status),
        status=status,
        until_ms=None if remaining_s is None else now_ms + int(remaining_s * 1000),
        rcd_closed_by_ms=_closed_by(contact.rcd_away_ms) if status is None else None,
        gate_closed_by_ms=_closed_by(contact.gate_away_ms) if status is not None else None,
    )


def is_done(wanted: Request, status: Status) -> bool:
    """Whether the status rcd answered with is what was asked for."""
    match wanted:
        case SetAccess(mode=AccessMode.OFF):
            return not status.is_on and not status.sessions
        case SetAccess(mode=mode):
            # With the key switch open it is ON as soon as somebody turns that.
            waits = status.key_switch in {KeySwitchState.OFF, KeySwitchState.FAULT}
            return (status.is_on or waits) and status.access is mode
        case EndSession(session=session):
            return all(each.session != session for each in status.sessions)
        case Release(session=session) | Refuse(session=session):
            return all(each.session != session for each in status.waiting)
        case _:
            return True


def _shown(status: Status | None) -> Shown:
    if status is None:
        return Shown.UNKNOWN
    if status.is_on:
        return Shown.ON
    return Shown.CLOSING if status.sessions else Shown.OFF


def _closed_by(away_ms: int | None) -> int | None:
    return None if away_ms is None else away_ms + LIFETIME_S * 1000
