"""Offers that wait for a person at the plant: a pure core. Events and boot-clock time in, out.

    offer ──► waiting ──Release──► admitted, as any offer that needs nobody
                 │
                 └──Refuse, time over, withdrawn, plant OFF──► refused

What waits has no rule, no key and no connection; only what a person released gets further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from rcd.commands import Command, Record, SendRelease, Tell
from rcd.record_details import spelt
from rcd.refusals import refuse
from rclib.wire.audit import AuditAction
from rclib.wire.control import ReleasePending, remaining_s
from rclib.wire.identity import fingerprint
from rclib.wire.session import RefusalReason

if TYPE_CHECKING:
    from rclib.wire.control import SessionOffer
    from rclib.wire.ids import IdentityKey, SessionId


@dataclass(frozen=True, slots=True)
class Waiting:
    """One offer, exactly as the page shows it: nothing said later changes it."""

    offer: SessionOffer
    is_known: bool
    """Whether the technician's computer is pinned already."""
    sent_ms: int
    """The control plane's time when the offer left it."""
    since: float
    """The boot clock when it came."""
    until: float

    def control_ms(self, now: float) -> int:
        """The control plane's time now, by the clock that does not jump."""
        return self.sent_ms + int((now - self.since) * 1000)

    def duration_s(self, now: float) -> float:
        """How long the session could last from now on."""
        return remaining_s(self.offer.not_after_ms, self.control_ms(now))

    def record(self) -> dict[str, str]:
        offer = self.offer
        return {
            "identity": fingerprint(offer.peer.identity_key),
            "targets": spelt(offer.targets),
            "reason": offer.reason,
            "reference": offer.reference,
            "source": offer.technician.source,
        }


@dataclass(frozen=True, slots=True)
class Released:
    """What a person let in, to be admitted at once."""

    offer: SessionOffer
    """With the end that was released."""
    sent_ms: int
    by: str


class Releases:
    """Everything that waits on one gateway."""

    def __init__(
        self, own_key: IdentityKey, *, required: bool, wait_s: int, max_waiting: int
    ) -> None:
        self._own_key = own_key
        self.is_required = required
        self._wait_s = wait_s
        self._max_waiting = max_waiting
        self._waiting: dict[SessionId, Waiting] = {}

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """In the order they came."""
        return tuple(self._waiting.values())

    def get(self, session: SessionId) -> Waiting | None:
        return self._waiting.get(session)

    def wants(self, offer: SessionOffer) -> bool:
        """Whether a person has to release it. The plant's own rule no offer can lift."""
        return self.is_required or offer.needs_release

    def asked(
        self, offer: SessionOffer, sent_ms: int, now: float, *, is_known: bool
    ) -> list[Command]:
        """Put an offer before the plant's people."""
        if len(self._waiting) >= self._max_waiting:
            detail = f"{self._max_waiting} technicians wait at this plant already"
            return refuse(offer, RefusalReason.BUSY, detail)
        bounds = (offer.lease_until_ms, offer.not_after_ms)
        wait_s = min(self._wait_s, *(remaining_s(bound, sent_ms) for bound in bounds))
        waiting = Waiting(offer, is_known, sent_ms, now, now + wait_s)
        self._waiting[offer.session] = waiting
        user = offer.technician.user
        return [
            Tell(ReleasePending(offer.session, max(1, int(wait_s)), self._own_key)),
            Record(AuditAction.RELEASE_REQUESTED, offer.session, user, waiting.record()),
        ]

    def released(
        self, session: SessionId, by: str, duration_s: int | None, now: float
    ) -> tuple[Released, list[Command]] | None:
        """A person lets the technician in; None: nobody waits under this name, or no longer."""
        waiting = self._waiting.get(session)
        if waiting is None or now >= waiting.until:
            return None
        del self._waiting[session]
        control_ms = waiting.control_ms(now)
        until_ms = waiting.offer.not_after_ms
        if duration_s is not None:
            until_ms = min(until_ms, control_ms + duration_s * 1000)
        offer = msgspec.structs.replace(waiting.offer, not_after_ms=until_ms)
        return Released(offer, control_ms, by), [SendRelease(offer, by, until_ms)]

    def refused(self, session: SessionId, by: str) -> list[Command] | None:
        """A person turns the technician away; None: nobody waits under this name."""
        if session not in self._waiting:
            return None
        detail = "the plant did not release this session"
        return self._drop(session, RefusalReason.NOT_RELEASED, detail, by)

    def withdrawn(self, session: SessionId) -> list[Command]:
        """The technician or the control plane no longer wants it."""
        detail = "withdrawn before the plant released it"
        return self._drop(session, RefusalReason.NOT_RELEASED, detail, "")

    def closed(self, by: str) -> list[Command]:
        """The plant went OFF, or this daemon stops."""
        detail = "remote access was switched off at the plant"
        return [
            command
            for session in tuple(self._waiting)
            for command in self._drop(session, RefusalReason.ACCESS_OFF, detail, by)
        ]

    def deadline(self) -> float | None:
        return min((waiting.until for waiting in self._waiting.values()), default=None)

    def due(self, now: float) -> list[Command]:
        """Give up what nobody has answered."""
        detail = "nobody at the plant released it in time"
        return [
            command
            for session, waiting in tuple(self._waiting.items())
            if now >= waiting.until
            for command in self._drop(session, RefusalReason.NOT_RELEASED, detail, "")
        ]

    def _drop(
        self, session: SessionId, reason: RefusalReason, detail: str, by: str
    ) -> list[Command]:
        waiting = self._waiting.pop(session, None)
        if waiting is None:
            return []
        record = Record(AuditAction.RELEASE_REFUSED, session, by, {"detail": detail})
        return [*refuse(waiting.offer, reason, detail), record]
