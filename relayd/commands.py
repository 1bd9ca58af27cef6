"""What the relay's rules want done. A closed set; `relayd.server` carries each out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from rclib.wire.identity import Side
    from rclib.wire.ids import SessionId
    from rclib.wire.relay import CloseReason

LegId = NewType("LegId", int)


@dataclass(frozen=True, slots=True)
class Send:
    """A message of the relay itself, a SIGNAL, or a handshake that waited for this leg."""

    leg: LegId
    message: bytes


@dataclass(frozen=True, slots=True)
class Admit:
    """The leg is one of `session` from here on."""

    leg: LegId
    session: SessionId
    side: Side


@dataclass(frozen=True, slots=True)
class Trust:
    """This connection belongs to the control plane: it counts as nobody's attempt any more."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Join:
    """Pass each one's DATA to the other."""

    leg: LegId
    partner: LegId


@dataclass(frozen=True, slots=True)
class Part:
    """Nobody takes this leg's DATA any more."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class DropMessage:
    """A message of this leg had no partner to go to."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """Say why, then close."""

    leg: LegId
    reason: CloseReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """Cut the connection now: the leg does not read what would let it end in order."""

    leg: LegId


Command = Send | Admit | Trust | Join | Part | DropMessage | CloseLeg | Abort
