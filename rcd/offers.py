"""The way of an offer into the gateway: switch, record, checks, a person's release, admission.

Nothing goes on whose beginning is not on disk: each step is written before its commands leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rcd.record_details import spelt
from rcd.refusals import refuse
from rclib.wire.audit import AuditAction
from rclib.wire.ids import EndpointId
from rclib.wire.session import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from rcd.commands import Command
    from rcd.records import Records
    from rcd.releases import Releases
    from rcd.sessions import Sessions
    from rclib.tunnel.pins import Pins
    from rclib.wire.control import SessionOffer
    from rclib.wire.ids import SessionId


class Offers:
    """Decides about each offer once; what is decided is carried out by the daemon."""

    def __init__(
        self,
        sessions: Sessions,
        releases: Releases,
        records: Records,
        pins: Pins,
        is_on: Callable[[], bool],
    ) -> None:
        self._sessions = sessions
        self._releases = releases
        self._records = records
        self._pins = pins
        self._is_on = is_on

    def consider(self, offer: SessionOffer, sent_ms: int, now: float) -> list[Command]:
        """Refuse an offer, put it before the plant's people, or admit it."""
        if not self._is_on():
            return refuse(offer, RefusalReason.ACCESS_OFF, "remote access is OFF at the plant")
        if self._records.fault:
            return refuse(offer, RefusalReason.STORAGE, self._records.fault)
        if self._releases.get(offer.session) or self._sessions.get(offer.session):
            return []
        if not self._releases.wants(offer):
            return self._admit(offer, sent_ms, now)
        pinned = self._pins.known(EndpointId(offer.technician.client))
        refusal = self._sessions.refusal(offer, sent_ms, pinned)
        if refusal is not None:
            return refuse(offer, *refusal)
        return self._releases.asked(offer, sent_ms, now, is_known=pinned is not None)

    def release(
        self, session: SessionId, by: str, duration_s: int | None, now: float
    ) -> list[Command] | None:
        """Let a waiting technician in; None if nobody waits under this name.

        Raises OSError if it cannot be recorded; then the technician goes on waiting.
        """
        waiting = self._releases.get(session)
        if waiting is None or not self._is_on():
            return None
        self._records.write(
            AuditAction.SESSION_RELEASED, session=session, actor=by, detail=waiting.record()
        )
        if self._records.fault:
            raise OSError(self._records.fault)
        released = self._releases.released(session, by, duration_s, now)
        if released is None:
            return None
        let_in, commands = released
        return [*commands, *self._admit(let_in.offer, let_in.sent_ms, now, released_by=by)]

    def _admit(
        self, offer: SessionOffer, sent_ms: int, now: float, *, released_by: str = ""
    ) -> list[Command]:
        pinned = self._pins.known(EndpointId(offer.technician.client))
        refusal = self._sessions.refusal(offer, sent_ms, pinned)
        if refusal is not None:
            return refuse(offer, *refusal)
        self._records.write(
            AuditAction.OFFER_ACCEPTED,
            session=offer.session,
            actor=offer.technician.user,
            detail={
                "targets": spelt(offer.targets),
                "reason": offer.reason,
                "reference": offer.reference,
                "released_by": released_by,
            },
        )
        if self._records.fault:
            return refuse(offer, RefusalReason.STORAGE, self._records.fault)
        return self._sessions.offered(offer, sent_ms, now, pinned=pinned, released_by=released_by)
