"""What the gateway tells of itself, and what of it is signed: a session's key, a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.wire.control import GatewayState, SessionAnswer, SessionRelease
from rclib.wire.identity import answer_key_statement, release_statement

if TYPE_CHECKING:
    from rcd.commands import SendAnswer, SendRelease
    from rcd.releases import Releases
    from rcd.sessions import Sessions
    from rclib.tunnel.enrolment import Identity
    from rclib.wire.access import AccessState


def gateway_state(access: AccessState, sessions: Sessions, releases: Releases) -> GatewayState:
    """The switch, and every session that is open or waits for a person."""
    offers = [each.offer for each in sessions.open]
    offers += [each.offer for each in releases.waiting]
    known = tuple(offer.session for offer in offers)
    return GatewayState(access.mode, access.until_ms, (), known)


def signed_answer(identity: Identity, command: SendAnswer) -> SessionAnswer:
    offer, peer = command.offer, command.offer.peer
    signed = answer_key_statement(
        offer.session, command.tunnel_key, peer.identity_key, peer.tunnel_key
    )
    return SessionAnswer(offer.session, command.tunnel_key, identity.sign(signed))


def signed_release(identity: Identity, command: SendRelease) -> SessionRelease:
    offer, until_ms, by = command.offer, command.until_ms, command.by
    signed = release_statement(offer.session, offer.peer.identity_key, offer.targets, until_ms, by)
    return SessionRelease(offer.session, by, until_ms, identity.sign(signed))
