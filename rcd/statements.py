"""What the gateway signs: its key for a session, and that a person here released it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.wire.control import SessionAnswer, SessionRelease
from rclib.wire.identity import answer_key_statement, release_statement

if TYPE_CHECKING:
    from rcd.commands import SendAnswer, SendRelease
    from rclib.tunnel.enrolment import Identity


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
