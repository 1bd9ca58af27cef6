"""The gateway's session core: events and time in, commands out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rcd.commands import (
    CloseTunnel,
    OpenTunnel,
    PinIdentity,
    PrepareTunnel,
    ProbeTunnel,
    Record,
    RenewRelays,
    SendAnswer,
    Tell,
)
from rcd.sessions import (
    KEEPALIVE_S,
    OPEN_LIMIT_S,
    PROBE_AFTER_S,
    PROBE_EVERY_S,
    Sessions,
    State,
)
from rclib.wire.audit import AuditAction
from rclib.wire.control import (
    LeaseRenewal,
    Peer,
    RelayLeg,
    SessionEnded,
    SessionOffer,
    SessionProgress,
    SessionRefusal,
    Technician,
)
from rclib.wire.gate import GateError, TunnelCounters
from rclib.wire.identity import offer_key_statement, sign
from rclib.wire.ids import ClientId, DeviceId, IdentityKey, RelayId, SessionId, TunnelKey
from rclib.wire.session import (
    EndReason,
    LinkAddresses,
    PathKind,
    PathStatus,
    Protocol,
    RefusalReason,
    Target,
)

if TYPE_CHECKING:
    from rcd.commands import Command

IDENTITY = Ed25519PrivateKey.from_private_bytes(b"t" * 32)
IDENTITY_KEY = IdentityKey(IDENTITY.public_key().public_bytes_raw())
PEER_TUNNEL_KEY = TunnelKey(b"p" * 32)
OUR_TUNNEL_KEY = TunnelKey(b"g" * 32)
SENT_MS = 1_700_000_000_000
NOW = 5000.0
LEASE_S = 600
LIFE_S = 14_400
GRACE_S = 120
RELAYS = (RelayLeg(RelayId("relay0"), "wss://relay0.example/relay", "token"),)


def session_id(number: int = 0) -> SessionId:
    return SessionId("ses_" + "abcdefghijklmnop"[number] * 16)


def offer(number: int = 0, **changes: object) -> SessionOffer:
    session = session_id(number)
    made = SessionOffer(
        session=session,
        name="Line 3",
        technician=Technician(ClientId("cli_" + "a" * 16), "tina", "Builder"),
        peer=Peer(
            IDENTITY_KEY,
            PEER_TUNNEL_KEY,
            sign(IDENTITY, offer_key_statement(session, PEER_TUNNEL_KEY)),
        ),
        link=LinkAddresses("100.64.0.1", "100.64.0.2"),
        targets=(Target(DeviceId("dev_" + "a" * 16), "PLC", "192.168.1.10", Protocol.TCP, 502),),
        relays=RELAYS,
        lease_until_ms=SENT_MS + LEASE_S * 1000,
        not_after_ms=SENT_MS + LIFE_S * 1000,
    )
    return msgspec.structs.replace(made, **changes)


def core(**settings: int) -> Sessions:
    return Sessions(**{"max_sessions": 4, "technician_grace_s": GRACE_S, **settings})


def running(now: float = NOW) -> Sessions:
    sessions = core()
    sessions.offered(offer(), SENT_MS, now, pinned=IDENTITY_KEY)
    sessions.prepared(session_id(), OUR_TUNNEL_KEY)
    sessions.opened(session_id(), "rcg0", "kernel")
    sessions.measured((counters(received=148),), now)
    return sessions


def counters(received: int, sent: int = 92) -> TunnelCounters:
    return TunnelCounters(session_id(), received, sent, 0.0 if received else None)


def told(commands: list[Command], kind: type) -> list[object]:
    return [c.body for c in commands if isinstance(c, Tell) and isinstance(c.body, kind)]


def refusal_of(commands: list[Command]) -> RefusalReason:
    (refusal,) = told(commands, SessionRefusal)
    assert isinstance(refusal, SessionRefusal)
    assert [c.action for c in commands if isinstance(c, Record)] == [AuditAction.OFFER_REFUSED]
    return refusal.reason


class TestOffer:
    def test_a_first_meeting_is_pinned_before_the_key_is_made(self) -> None:
        commands = core().offered(offer(), SENT_MS, NOW, pinned=None)
        assert [type(c) for c in commands] == [PinIdentity, PrepareTunnel]

    def test_a_known_technician_is_not_pinned_again(self) -> None:
        commands = core().offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY)
        assert commands == [PrepareTunnel(session_id())]

    def test_a_swapped_identity_is_refused(self) -> None:
        commands = core().offered(offer(), SENT_MS, NOW, pinned=IdentityKey(b"x" * 32))
        assert refusal_of(commands) is RefusalReason.IDENTITY_CHANGED

    def test_a_key_the_control_plane_made_is_refused(self) -> None:
        peer = Peer(IDENTITY_KEY, TunnelKey(b"c" * 32), offer().peer.signature)
        commands = core().offered(offer(peer=peer), SENT_MS, NOW, pinned=IDENTITY_KEY)
        assert refusal_of(commands) is RefusalReason.BAD_SIGNATURE

    def test_a_signature_of_another_session_is_refused(self) -> None:
        commands = core().offered(offer(1, peer=offer(0).peer), SENT_MS, NOW, pinned=IDENTITY_KEY)
        assert refusal_of(commands) is RefusalReason.BAD_SIGNATURE

    @pytest.mark.parametrize("key", ["lease_until_ms", "not_after_ms"])
    @pytest.mark.parametrize("value", [0, 1, SENT_MS - 1, SENT_MS])
    def test_zero_and_past_ends_count_as_expired(self, key: str, value: int) -> None:
        commands = core().offered(offer(**{key: value}), SENT_MS, NOW, pinned=IDENTITY_KEY)
        assert refusal_of(commands) is RefusalReason.EXPIRED

    def test_more_sessions_than_allowed_are_refused(self) -> None:
        sessions = core(max_sessions=1)
        sessions.offered(offer(0), SENT_MS, NOW, pinned=IDENTITY_KEY)
        commands = sessions.offered(offer(1), SENT_MS, NOW, pinned=IDENTITY_KEY)
        assert refusal_of(commands) is RefusalReason.BUSY

    def test_a_repeated_offer_changes_nothing(self) -> None:
        sessions = running()
        assert sessions.offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY) == []


class TestOpening:
    def test_the_answer_leaves_only_after_everything_is_open(self) -> None:
        sessions = core()
        sessions.offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY)
        assert sessions.prepared(session_id(), OUR_TUNNEL_KEY) == [OpenTunnel(offer())]
        commands = sessions.opened(session_id(), "rcg0", "kernel")
        assert commands[0] == SendAnswer(offer(), OUR_TUNNEL_KEY)

    def test_the_first_handshake_makes_it_run_by_relay(self) -> None:
        sessions = core()
        sessions.offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY)
        sessions.prepared(session_id(), OUR_TUNNEL_KEY)
        sessions.opened(session_id(), "rcg0", "kernel")
        assert sessions.measured((counters(received=0),), NOW) == []
        assert told(sessions.measured((counters(received=148),), NOW), SessionProgress)

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (GateError.OUTSIDE_PLANT_NETWORKS, RefusalReason.OUTSIDE_PLANT_NETWORKS),
            (GateError.NO_NFT, RefusalReason.GATE_FAILED),
            (None, RefusalReason.GATE_FAILED),
        ],
    )
    def test_what_the_gate_refuses_is_refused_with_its_reason(
        self, error: GateError | None, reason: RefusalReason
    ) -> None:
        sessions = core()
        sessions.offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY)
        commands = sessions.refused_by_gate(session_id(), error, "why")
        assert commands[0] == CloseTunnel(session_id())
        assert refusal_of(commands) is reason
        assert sessions.open == ()

    def test_a_gate_that_opens_too_late_is_closed_again(self) -> None:
        sessions = core()
        sessions.offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY)
        sessions.prepared(session_id(), OUR_TUNNEL_KEY)
        sessions.end(session_id(), EndReason.PLANT_OFF)
        assert sessions.opened(session_id(), "rcg0", "kernel") == [CloseTunnel(session_id())]


class TestEnd:
    def test_ending_closes_the_gate_first_and_puts_it_on_record(self) -> None:
        commands = running().end(session_id(), EndReason.PLANT_KILLED, actor="shift lead")
        assert commands[0] == CloseTunnel(session_id())
        assert told(commands, SessionEnded) == [SessionEnded(session_id(), EndReason.PLANT_KILLED)]
        (record,) = [c for c in commands if isinstance(c, Record)]
        assert (record.action, record.actor) == (AuditAction.TUNNEL_CLOSED, "shift lead")

    def test_ending_twice_does_nothing_more(self) -> None:
        sessions = running()
        sessions.end(session_id(), EndReason.PLANT_OFF)
        assert sessions.end(session_id(), EndReason.PLANT_OFF) == []

    @pytest.mark.parametrize(
        ("after_s", "reason"), [(LEASE_S, EndReason.LEASE_ENDED), (LIFE_S, EndReason.TIME_OVER)]
    )
    def test_the_lease_and_the_absolute_end_need_nobody(
        self, after_s: int, reason: EndReason
    ) -> None:
        sessions = running()
        commands = sessions.due(NOW + after_s)
        assert told(commands, SessionEnded) == [SessionEnded(session_id(), reason)]

    def test_a_technician_not_heard_for_longer_than_the_grace_is_gone(self) -> None:
        sessions = running()
        assert sessions.due(NOW + GRACE_S + KEEPALIVE_S - 1) == []
        commands = sessions.due(NOW + GRACE_S + KEEPALIVE_S)
        assert told(commands, SessionEnded) == [
            SessionEnded(session_id(), EndReason.TECHNICIAN_GONE)
        ]

    def test_a_silent_technician_is_spoken_to_until_heard_again(self) -> None:
        sessions = running()
        probe = ProbeTunnel(session_id())
        at = NOW + PROBE_AFTER_S
        assert sessions.measured((counters(received=148),), at - 0.1) == []
        assert sessions.measured((counters(received=148),), at) == [probe]
        assert sessions.measured((counters(received=148),), at + PROBE_EVERY_S - 0.1) == []
        assert sessions.measured((counters(received=148),), at + PROBE_EVERY_S) == [probe]
        heard = at + 2 * PROBE_EVERY_S
        assert sessions.measured((counters(received=300),), heard) == []
        assert sessions.measured((counters(received=300),), heard + PROBE_AFTER_S) == [probe]

    def test_a_technician_who_never_arrives_is_not_waited_for(self) -> None:
        sessions = core()
        sessions.offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY)
        assert sessions.deadline() == NOW + OPEN_LIMIT_S
        assert told(sessions.due(NOW + OPEN_LIMIT_S), SessionEnded)


class TestLease:
    def test_a_renewal_moves_the_lease_and_renews_the_relays(self) -> None:
        sessions = running()
        renewal = LeaseRenewal(session_id(), SENT_MS + LEASE_S * 1000, RELAYS)
        commands = sessions.lease_renewed(renewal, SENT_MS, NOW + 200)
        assert commands == [RenewRelays(session_id(), RELAYS)]
        (session,) = sessions.open
        assert session.lease_until == NOW + 200 + LEASE_S

    @given(st.integers(min_value=0, max_value=2**53), st.floats(0, LIFE_S))
    def test_no_renewal_outlives_the_absolute_end(self, until_ms: int, after_s: float) -> None:
        sessions = running()
        sessions.lease_renewed(LeaseRenewal(session_id(), until_ms, RELAYS), SENT_MS, NOW + after_s)
        (session,) = sessions.open
        assert session.ends_at <= NOW + LIFE_S


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("offer", "prepared", "opened", "measured", "refused", "end", "due")),
        st.integers(0, 2),
        st.floats(0, 400),
    ),
    max_size=40,
)


@given(EVENTS)
def test_whatever_happens_only_a_valid_offer_opens_and_the_clock_always_closes(
    events: list[tuple[str, int, float]],
) -> None:
    sessions, now, offered = core(), NOW, set()
    for what, number, wait_s in events:
        now += wait_s
        session = session_id(number)
        match what:
            case "offer":
                sessions.offered(offer(number), SENT_MS, now, pinned=IDENTITY_KEY)
                offered.add(session)
            case "prepared":
                sessions.prepared(session, OUR_TUNNEL_KEY)
            case "opened":
                commands = sessions.opened(session, "rcg0", "kernel")
                assert session in offered or not any(isinstance(c, SendAnswer) for c in commands)
            case "measured":
                sessions.measured((TunnelCounters(session, int(now), 1, 1.0),), now)
            case "refused":
                sessions.refused_by_gate(session, None, "")
            case "end":
                sessions.end(session, EndReason.TECHNICIAN)
            case "due":
                sessions.due(now)
        assert {s.offer.session for s in sessions.open} <= offered
        assert all(s.state in State for s in sessions.open)
    sessions.due(now + LIFE_S)
    assert sessions.open == ()


class TestIdle:
    """A session that nobody uses ends by itself, where the plant wants that."""

    def run_idle(self, bytes_per_s: float, idle_s: int = 1800) -> list[SessionEnded]:
        sessions = core()
        sessions.offered(offer(idle_timeout_s=idle_s), SENT_MS, NOW, pinned=IDENTITY_KEY)
        sessions.prepared(session_id(), OUR_TUNNEL_KEY)
        sessions.opened(session_id(), "rcg0", "kernel")
        ended: list[SessionEnded] = []
        for second in range(0, 7200, 10):
            now, passed = NOW + second, int(bytes_per_s * second)
            renewal = LeaseRenewal(session_id(), SENT_MS + LEASE_S * 1000, ())
            sessions.lease_renewed(renewal, SENT_MS, now)
            sessions.measured((counters(received=148 + passed),), now)
            ended += told(sessions.due(now), SessionEnded)
        return ended

    def test_keepalives_and_handshakes_are_no_use(self) -> None:
        assert self.run_idle(32 / 25 + 240 / 120) == [SessionEnded(session_id(), EndReason.IDLE)]

    def test_one_small_poll_a_minute_is(self) -> None:
        assert self.run_idle(32 / 25 + 240 / 120 + 400 / 60) == []

    def test_without_an_idle_timeout_a_quiet_session_stays(self) -> None:
        assert self.run_idle(32 / 25, idle_s=0) == []


class TestPath:
    """What the record says of it."""

    def test_a_path_told_before_the_counters_are_read_starts_the_session(self) -> None:
        sessions = core()
        sessions.offered(offer(), SENT_MS, NOW, pinned=IDENTITY_KEY)
        sessions.prepared(session_id(), OUR_TUNNEL_KEY)
        sessions.opened(session_id(), "rcg0", "kernel")
        told_path = PathStatus(
            PathKind.DIRECT, SENT_MS, relay="relay0", region="east", rtt_ms=12.5, mtu=1280
        )
        commands = sessions.path_changed(session_id(), told_path, NOW)
        (record,) = [c for c in commands if isinstance(c, Record)]
        assert record.detail == {
            "path": "direct",
            "since_ms": str(SENT_MS),
            "relay": "relay0",
            "region": "east",
            "rtt_ms": "12.5",
            "mtu": "1280",
        }
        assert [c.state for c in sessions.open] == [State.RUNNING]
        assert sessions.measured([counters(92)], NOW, lambda _: told_path) == []
