"""What the two ends of a session are sent: offer, grant and renewal, each with its admissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controld import sessions, store_endpoints, store_organisations, store_policies, store_users
from controld.records import ReleasePolicy
from rclib.wire.control import (
    LeaseRenewal,
    Peer,
    SessionGrant,
    SessionOffer,
    SessionRelays,
    Technician,
)
from rclib.wire.identity import Side
from rclib.wire.ids import EndpointId

if TYPE_CHECKING:
    from controld.admissions import Admissions
    from controld.records import GatewayPolicy, Session
    from controld.store import Tx
    from rclib.wire.control import RelayLeg, SessionAnswer
    from rclib.wire.ids import IdentityKey, Signature, TunnelKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """A session whose ticket was redeemed, and who its two ends are."""

    session: Session
    policy: GatewayPolicy
    technician: Technician
    client_key: IdentityKey
    gateway_key: IdentityKey
    tunnel_key: TunnelKey
    """The technician's."""
    signature: Signature
    lease_until_ms: int
    not_after_ms: int

    @property
    def client(self) -> EndpointId:
        return EndpointId(self.technician.client)

    @property
    def gateway(self) -> EndpointId:
        return EndpointId(self.session.gateway)


def read_ends(tx: Tx, session: Session) -> Ends | None:
    """Collect what the messages need; None while, or once, anything of it is missing."""
    if session.client is None or session.started_by is None:
        return None
    client_key = store_endpoints.identity_key(tx, EndpointId(session.client))
    gateway_key = store_endpoints.identity_key(tx, EndpointId(session.gateway))
    if client_key is None or gateway_key is None:
        return None
    if session.technician_key is None or session.technician_signature is None:
        return None
    return Ends(
        session=session,
        policy=store_policies.get_policy(tx, session.gateway),
        technician=Technician(
            client=session.client,
            user=store_users.get_user(tx, session.started_by).name,
            organisation=store_organisations.get_organisation(tx, session.organisation).name,
            source=session.started_from,
        ),
        client_key=client_key,
        gateway_key=gateway_key,
        tunnel_key=session.technician_key,
        signature=session.technician_signature,
        lease_until_ms=session.lease_until_ms or 0,
        not_after_ms=session.not_after_ms or 0,
    )


def offer(ends: Ends, admissions: Admissions, now_ms: int) -> SessionOffer:
    """To the gateway: a technician wants to start."""
    return SessionOffer(
        session=ends.session.id,
        name=ends.session.name,
        technician=ends.technician,
        peer=Peer(ends.client_key, ends.tunnel_key, ends.signature),
        link=sessions.link_addresses(ends.session),
        targets=ends.session.targets,
        relays=_legs(ends, Side.GATEWAY, admissions, now_ms),
        lease_until_ms=ends.lease_until_ms,
        not_after_ms=ends.not_after_ms,
        stun=admissions.stun,
        reason=ends.session.reason,
        reference=ends.session.reference,
        needs_release=ends.policy.release is ReleasePolicy.PLANT_RELEASE,
        idle_timeout_s=ends.policy.idle_timeout_s,
    )


def relays(ends: Ends, admissions: Admissions, now_ms: int) -> SessionRelays:
    """To the technician's PC: the gateway is asked."""
    return SessionRelays(ends.session.id, _legs(ends, Side.TECHNICIAN, admissions, now_ms))


def grant(ends: Ends, answer: SessionAnswer, admissions: Admissions, now_ms: int) -> SessionGrant:
    """To the technician's PC: the gateway has answered."""
    return SessionGrant(
        session=ends.session.id,
        name=ends.session.name,
        gateway=ends.session.gateway,
        gateway_name=ends.session.gateway_name,
        peer=Peer(ends.gateway_key, answer.tunnel_key, answer.signature),
        link=sessions.link_addresses(ends.session),
        targets=ends.session.targets,
        relays=_legs(ends, Side.TECHNICIAN, admissions, now_ms),
        lease_until_ms=ends.lease_until_ms,
        not_after_ms=ends.not_after_ms,
        stun=admissions.stun,
    )


def renewal(ends: Ends, side: Side, admissions: Admissions, now_ms: int) -> LeaseRenewal:
    """To either end: the session may go on."""
    return LeaseRenewal(
        session=ends.session.id,
        lease_until_ms=ends.lease_until_ms,
        relays=_legs(ends, side, admissions, now_ms),
    )


def _legs(ends: Ends, side: Side, admissions: Admissions, now_ms: int) -> tuple[RelayLeg, ...]:
    key = ends.gateway_key if side is Side.GATEWAY else ends.client_key
    return admissions.legs(
        ends.session.id,
        side,
        key,
        region=ends.session.region,
        now_ms=now_ms,
        until_ms=ends.lease_until_ms,
    )
