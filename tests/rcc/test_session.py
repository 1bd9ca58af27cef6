"""The technician's session core: events and time in, commands out."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rcc.session import (
    CONNECT_LIMIT_S,
    REDEEM_LIMIT_S,
    SILENCE_S,
    DialRelays,
    Finish,
    OpenTunnel,
    PinGateway,
    SignAndRedeem,
    TechnicianSession,
    Tell,
)
from rclib.wire.client import ClientState
from rclib.wire.control import (
    LeaseRenewal,
    Peer,
    RelayLeg,
    ReleasePending,
    SessionEnd,
    SessionGrant,
    SessionRefusal,
    SessionRelays,
)
from rclib.wire.gate import TunnelCounters
from rclib.wire.identity import answer_key_statement, sign
from rclib.wire.ids import DeviceId, GatewayId, IdentityKey, RelayId, SessionId, TunnelKey
from rclib.wire.session import EndReason, LinkAddresses, Protocol, RefusalReason, Target

GATEWAY = Ed25519PrivateKey.from_private_bytes(b"g" * 32)
GATEWAY_KEY = IdentityKey(GATEWAY.public_key().public_bytes_raw())
OWN_IDENTITY = IdentityKey(b"i" * 32)
OWN_TUNNEL_KEY = TunnelKey(b"t" * 32)
GATEWAY_TUNNEL_KEY = TunnelKey(b"k" * 32)
SESSION = SessionId("ses_" + "a" * 16)
SENT_MS = 1_700_000_000_000
NOW = 900.0
LEASE_S = 600
LIFE_S = 14_400


def grant(**changes: object) -> SessionGrant:
    signed = answer_key_statement(SESSION, GATEWAY_TUNNEL_KEY, OWN_IDENTITY, OWN_TUNNEL_KEY)
    made = SessionGrant(
        session=SESSION,
        name="Line 3",
        gateway=GatewayId("gwy_" + "a" * 16),
        gateway_name="press shop",
        peer=Peer(GATEWAY_KEY, GATEWAY_TUNNEL_KEY, sign(GATEWAY, signed)),
        link=LinkAddresses("100.64.0.1", "100.64.0.2"),
        targets=(Target(DeviceId("dev_" + "a" * 16), "PLC", "192.168.1.10", Protocol.TCP, 502),),
        relays=(RelayLeg(RelayId("relay0"), "wss://relay0.example/relay", "token"),),
        lease_until_ms=SENT_MS + LEASE_S * 1000,
        not_after_ms=SENT_MS + LIFE_S * 1000,
    )
    return msgspec.structs.replace(made, **changes)


def waiting() -> TechnicianSession:
    core = TechnicianSession(SESSION, "ticket", NOW)
    core.prepared(OWN_TUNNEL_KEY)
    return core


def receive(core: TechnicianSession, offered: SessionGrant, *, pinned: bool = True) -> list[object]:
    key = GATEWAY_KEY if pinned else None
    return list(core.granted(offered, SENT_MS, NOW, pinned=key, own_identity=OWN_IDENTITY))


def connected() -> TechnicianSession:
    core = waiting()
    receive(core, grant())
    core.opened()
    core.measured((TunnelCounters(SESSION, 92, 148, 0.1),), NOW)
    assert core.state is ClientState.CONNECTED
    return core


def test_the_ticket_is_redeemed_with_the_key_the_gate_made() -> None:
    core = TechnicianSession(SESSION, "ticket", NOW)
    assert core.prepared(OWN_TUNNEL_KEY) == [SignAndRedeem(SESSION, "ticket", OWN_TUNNEL_KEY)]


def test_the_relays_are_dialled_while_the_plant_is_asked() -> None:
    named = SessionRelays(SESSION, grant().relays)
    assert waiting().relays_named(named) == [DialRelays(grant().relays)]
    assert connected().relays_named(named) == []
    other = SessionRelays(SessionId("ses_bbbbbbbbbbbbbbbb"), grant().relays)
    assert waiting().relays_named(other) == []


def test_a_first_meeting_pins_the_gateway_before_anything_opens() -> None:
    commands = receive(waiting(), grant(), pinned=False)
    assert [type(c) for c in commands] == [PinGateway, OpenTunnel]


def test_a_grant_opens_only_with_the_gateways_signature() -> None:
    forged = Peer(GATEWAY_KEY, TunnelKey(b"c" * 32), grant().peer.signature)
    core = waiting()
    commands = receive(core, grant(peer=forged))
    assert not any(isinstance(c, OpenTunnel) for c in commands)
    assert (core.refusal, core.end_reason) == (RefusalReason.BAD_SIGNATURE, EndReason.REFUSED)


def test_a_gateway_with_another_identity_is_refused() -> None:
    core = waiting()
    other = IdentityKey(b"o" * 32)
    core.granted(grant(), SENT_MS, NOW, pinned=other, own_identity=OWN_IDENTITY)
    assert core.refusal is RefusalReason.IDENTITY_CHANGED


@pytest.mark.parametrize("changes", [{"lease_until_ms": 0}, {"not_after_ms": SENT_MS}])
def test_a_grant_that_is_over_opens_nothing(changes: dict[str, int]) -> None:
    core = waiting()
    commands = receive(core, grant(**changes))
    assert not any(isinstance(c, OpenTunnel) for c in commands)


def test_a_second_grant_changes_nothing() -> None:
    core = waiting()
    receive(core, grant())
    assert receive(core, grant()) == []


def test_a_refusal_ends_it_with_the_reason() -> None:
    core = waiting()
    commands = core.refused(SessionRefusal(SESSION, RefusalReason.ACCESS_OFF, "the plant is OFF"))
    assert commands == [Finish()]
    assert (core.refusal, core.detail) == (RefusalReason.ACCESS_OFF, "the plant is OFF")


def test_the_end_from_the_control_plane_is_final_and_not_echoed() -> None:
    core = connected()
    assert core.ended_remotely(SessionEnd(SESSION, EndReason.ADMINISTRATOR)) == [Finish()]
    assert core.disconnect() == []


def test_the_technicians_own_end_is_told() -> None:
    assert connected().disconnect() == [
        Tell(SessionEnd(SESSION, EndReason.TECHNICIAN)),
        Finish(),
    ]


@pytest.mark.parametrize(
    ("core", "after_s", "reason"),
    [
        (waiting(), REDEEM_LIMIT_S, EndReason.GATEWAY_GONE),
        (connected(), SILENCE_S, EndReason.GATEWAY_GONE),
        (connected(), LEASE_S, EndReason.LEASE_ENDED),
        (connected(), LIFE_S, EndReason.TIME_OVER),
    ],
)
def test_every_clock_ends_it(core: TechnicianSession, after_s: float, reason: EndReason) -> None:
    core.due(NOW + after_s)
    assert core.end_reason is reason


def test_a_tunnel_without_a_handshake_is_given_up() -> None:
    core = waiting()
    receive(core, grant())
    core.opened()
    assert core.due(NOW + CONNECT_LIMIT_S - 1) == []
    core.due(NOW + CONNECT_LIMIT_S)
    assert "handshake" in core.detail


def test_a_renewal_for_another_session_is_ignored() -> None:
    core = connected()
    before = core.deadline()
    other = SessionId("ses_" + "b" * 16)
    assert core.lease_renewed(LeaseRenewal(other, SENT_MS + 10**9, ()), SENT_MS, NOW) == []
    assert core.deadline() == before


def test_a_release_by_hand_binds_the_grant_to_the_identity_that_was_compared() -> None:
    other = IdentityKey(b"o" * 32)
    for asked, is_taken in ((GATEWAY_KEY, True), (other, False)):
        core = waiting()
        core.release_pending(ReleasePending(SESSION, 300, asked), NOW)
        assert core.asked == asked
        commands = receive(core, grant(), pinned=False)
        assert any(isinstance(each, OpenTunnel) for each in commands) is is_taken
        assert any(isinstance(each, PinGateway) for each in commands) is is_taken
        if not is_taken:
            assert core.refusal is RefusalReason.IDENTITY_CHANGED
