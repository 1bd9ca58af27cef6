"""Why the gateway does not take part in a session, and what follows from that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rcd.commands import Command, Record, Tell
from rclib.wire.audit import AuditAction
from rclib.wire.control import SessionRefusal, remaining_s
from rclib.wire.gate import GateError
from rclib.wire.identity import is_signed_by, offer_key_statement
from rclib.wire.session import RefusalReason

if TYPE_CHECKING:
    from rclib.wire.control import SessionOffer
    from rclib.wire.ids import IdentityKey


def flaw_of(
    offer: SessionOffer, sent_ms: int, pinned: IdentityKey | None
) -> tuple[RefusalReason, str] | None:
    """What is wrong with an offer itself, however much room there is; None: nothing."""
    peer = offer.peer
    bounds = (offer.lease_until_ms, offer.not_after_ms)
    if min(remaining_s(until, sent_ms) for until in bounds) <= 0:
        return RefusalReason.EXPIRED, "the offer is over already"
    if pinned is not None and pinned != peer.identity_key:
        return (
            RefusalReason.IDENTITY_CHANGED,
            "this technician's computer had another identity when it was first seen here",
        )
    signed = offer_key_statement(offer.session, peer.tunnel_key)
    if not is_signed_by(peer.identity_key, signed, peer.signature):
        return RefusalReason.BAD_SIGNATURE, "the technician's key is not signed by its identity"
    return None


def reason_of(error: GateError | None) -> RefusalReason:
    """What the technician is told when the gate did not do its part; None: it said nothing."""
    match error:
        case GateError.OUTSIDE_PLANT_NETWORKS | GateError.FORBIDDEN_ADDRESS:
            return RefusalReason.OUTSIDE_PLANT_NETWORKS
        case GateError.TOO_MANY_SESSIONS:
            return RefusalReason.BUSY
        case _:
            return RefusalReason.GATE_FAILED


def refuse(offer: SessionOffer, reason: RefusalReason, detail: str) -> list[Command]:
    """What follows from not taking part."""
    return [
        Tell(SessionRefusal(offer.session, reason, detail)),
        Record(
            AuditAction.OFFER_REFUSED,
            offer.session,
            offer.technician.user,
            {"reason": reason.value, "detail": detail},
        ),
    ]
