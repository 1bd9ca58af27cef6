"""The relay's rules: at this time this event, and exactly these commands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rclib.tunnel.early_messages import EARLY_TTL_S
from rclib.wire import relay
from rclib.wire.admission import (
    Admission,
    Revocation,
    key_id_of,
    load_key,
    mint,
)
from rclib.wire.identity import Side, relay_statement, sign, token_digest
from rclib.wire.ids import IdentityKey, Nonce, RelayId, SessionId
from rclib.wire.relay import CloseReason
from relayd.admission import Doorkeeper
from relayd.channels import CLOSE_LINGER_S, Channels, Timing
from relayd.commands import (
    Abort,
    Admit,
    CloseLeg,
    Command,
    DropMessage,
    Join,
    LegId,
    Part,
    Send,
    Trust,
)
from relayd.timer_wheel import SLOT_S

RELAY = RelayId("relay0")
SESSION = SessionId("ses_" + "a" * 16)
OTHER_SESSION = SessionId("ses_" + "b" * 16)
TIMING = Timing(hello_s=10, write_s=2, ping_s=25, dead_s=45)
WALL = 1_800_000_000.0
LEASE_S = 600

AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
TOKEN_KEY = load_key(
    AUTHORITY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
)
TECHNICIAN = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
GATEWAY = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32)
OWNER = {Side.TECHNICIAN: TECHNICIAN, Side.GATEWAY: GATEWAY}

READY_ALONE = relay.encode(relay.Ready(partner_present=False))
READY_PAIRED = relay.encode(relay.Ready(partner_present=True))
GONE = relay.encode(relay.Gone())
DATA = relay.data_header(100) + b"\x04" + bytes(99)
INITIATION = relay.data_header(148) + b"\x01" + bytes(147)
SIGNAL = relay.encode(relay.Signal(b"candidate"))


def token(
    side: Side,
    key: Ed25519PrivateKey | None = None,
    *,
    session: SessionId = SESSION,
    audience: RelayId = RELAY,
    expires_s: float = LEASE_S,
) -> str:
    public = (key or OWNER[side]).public_key().public_bytes_raw()
    admission = Admission(
        session, side, IdentityKey(public), audience, int(WALL) - 1, int(WALL + expires_s)
    )
    return mint(admission, TOKEN_KEY, key_id_of(TOKEN_KEY))


@dataclass
class Relay:
    """The rules with a clock in hand. The wall clock runs beside the boot clock."""

    now: float = 1000.0
    wall_s: float = WALL
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    nonces: dict[LegId, Nonce] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nonces = itertools.count(1)
        keys = {key_id_of(TOKEN_KEY): TOKEN_KEY}
        keeper = Doorkeeper(RELAY, keys, lambda: Nonce(next(nonces).to_bytes(32, "big")))
        self.rules = Channels(keeper, TIMING)

    def connect(self) -> LegId:
        leg = LegId(next(self.numbers))
        (challenged,) = self.rules.connected(leg, self.now)
        assert isinstance(challenged, Send)
        challenge = relay.decode(challenged.message)
        assert isinstance(challenge, relay.Challenge)
        self.nonces[leg] = challenge.nonce
        return leg

    def say(self, leg: LegId, frame: relay.Frame | bytes) -> list[Command]:
        message = frame if isinstance(frame, bytes) else relay.encode(frame)
        self.rules.heard(leg, self.now)
        return self.rules.received(leg, message, self.now, self.wall_s)

    def prove(self, leg: LegId, text: str, key: Ed25519PrivateKey) -> list[Command]:
        assert self.say(leg, relay.Hello(relay.PROTOCOL_VERSION, text)) == []
        signed = relay_statement(RELAY, self.nonces[leg], token_digest(text))
        return self.say(leg, relay.Proof(sign(key, signed)))

    def join(
        self, side: Side, *, session: SessionId = SESSION, expires_s: float = LEASE_S
    ) -> tuple[LegId, list[Command]]:
        leg = self.connect()
        text = token(side, session=session, expires_s=expires_s)
        return leg, self.prove(leg, text, OWNER[side])

    def later(self, seconds: float) -> list[Command]:
        """Let time pass as the ticker does, one slot after the other."""
        commands: list[Command] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + SLOT_S)
            self.wall_s += SLOT_S
            commands += self.rules.due(self.now)
        return commands


@pytest.fixture
def server() -> Relay:
    return Relay()


def reasons(commands: list[Command]) -> list[tuple[LegId, CloseReason]]:
    return [(c.leg, c.reason) for c in commands if isinstance(c, CloseLeg)]


class TestAdmission:
    def test_the_first_leg_is_admitted_and_told_that_it_is_alone(self, server: Relay) -> None:
        leg, commands = server.join(Side.GATEWAY)
        assert commands == [Admit(leg, SESSION, Side.GATEWAY), Send(leg, READY_ALONE)]

    def test_the_second_leg_joins_the_first_and_both_are_told(self, server: Relay) -> None:
        gateway, _ = server.join(Side.GATEWAY)
        technician, commands = server.join(Side.TECHNICIAN)
        assert commands == [
            Admit(technician, SESSION, Side.TECHNICIAN),
            Join(technician, gateway),
            Send(technician, READY_PAIRED),
            Send(gateway, READY_PAIRED),
        ]

    def test_legs_of_different_sessions_never_meet(self, server: Relay) -> None:
        server.join(Side.GATEWAY)
        leg, commands = server.join(Side.TECHNICIAN, session=OTHER_SESSION)
        assert Send(leg, READY_ALONE) in commands
        assert server.rules.channel_count == 2

    @pytest.mark.parametrize(
        ("hello", "reason"),
        [
            (relay.Hello(2, token(Side.GATEWAY)), CloseReason.VERSION),
            (relay.Hello(1, "nonsense"), CloseReason.TOKEN_INVALID),
            (relay.Hello(1, token(Side.GATEWAY, expires_s=0)), CloseReason.TOKEN_EXPIRED),
            (
                relay.Hello(1, token(Side.GATEWAY, audience=RelayId("relay1"))),
                CloseReason.WRONG_RELAY,
            ),
        ],
    )
    def test_a_token_that_does_not_admit_ends_the_leg(
        self, server: Relay, hello: relay.Hello, reason: CloseReason
    ) -> None:
        leg = server.connect()
        assert reasons(server.say(leg, hello)) == [(leg, reason)]

    def test_a_stolen_token_opens_nothing(self, server: Relay) -> None:
        leg = server.connect()
        commands = server.prove(leg, token(Side.GATEWAY), STRANGER)
        assert reasons(commands) == [(leg, CloseReason.PROOF_INVALID)]
        assert server.rules.channel_count == 0

    def test_a_proof_counts_once_because_each_nonce_is_new(self, server: Relay) -> None:
        text = token(Side.GATEWAY)
        signed = relay_statement(RELAY, Nonce((1).to_bytes(32, "big")), token_digest(text))
        first, second = server.connect(), server.connect()
        for leg in (first, second):
            server.say(leg, relay.Hello(relay.PROTOCOL_VERSION, text))
        replayed = relay.Proof(sign(GATEWAY, signed))
        assert reasons(server.say(first, replayed)) == []
        assert reasons(server.say(second, replayed)) == [(second, CloseReason.PROOF_INVALID)]

    def test_a_token_that_runs_out_during_admission_is_expired(self, server: Relay) -> None:
        leg = server.connect()
        text = token(Side.GATEWAY, expires_s=3)
        server.say(leg, relay.Hello(relay.PROTOCOL_VERSION, text))
        server.later(3)
        signed = relay_statement(RELAY, Nonce((1).to_bytes(32, "big")), token_digest(text))
        commands = server.say(leg, relay.Proof(sign(GATEWAY, signed)))
        assert reasons(commands) == [(leg, CloseReason.TOKEN_EXPIRED)]

    @pytest.mark.parametrize(
        "frame",
        [
            relay.Proof(sign(GATEWAY, b"")),
            relay.Renew(token(Side.GATEWAY)),
            relay.Ping(bytes(8)),
            relay.Pong(bytes(8)),
            relay.Signal(b"x"),
            relay.Challenge(Nonce(bytes(32))),
            relay.Ready(partner_present=True),
            relay.Gone(),
            relay.Restarting(0),
            DATA,
            b"",
            b"\xff",
        ],
    )
    def test_nothing_but_a_hello_comes_first(
        self, server: Relay, frame: relay.Frame | bytes
    ) -> None:
        leg = server.connect()
        assert reasons(server.say(leg, frame)) == [(leg, CloseReason.BAD_FRAME)]

    def test_a_second_hello_is_one_too_many(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        hello = relay.Hello(relay.PROTOCOL_VERSION, token(Side.GATEWAY))
        assert reasons(server.say(leg, hello)) == [(leg, CloseReason.BAD_FRAME)]

    def test_a_first_message_is_short(self, server: Relay) -> None:
        leg = server.connect()
        long = bytes((relay.FrameType.HELLO, 1)) + b"a" * relay.MAX_FIRST_MESSAGE_BYTES
        assert reasons(server.say(leg, long)) == [(leg, CloseReason.BAD_FRAME)]

    def test_who_is_not_admitted_in_time_is_closed(self, server: Relay) -> None:
        leg = server.connect()
        assert server.later(TIMING.hello_s - 2 * SLOT_S) == []
        assert reasons(server.later(3 * SLOT_S)) == [(leg, CloseReason.HELLO_TIMEOUT)]

    def test_dripping_frames_do_not_lengthen_the_time_for_admission(self, server: Relay) -> None:
        leg = server.connect()
        server.say(leg, relay.Hello(relay.PROTOCOL_VERSION, token(Side.GATEWAY)))
        for _ in range(9):
            server.later(1)
            server.rules.heard(leg, server.now)
        assert reasons(server.later(1.5)) == [(leg, CloseReason.HELLO_TIMEOUT)]


class TestDuplicates:
    def test_the_newest_leg_of_a_key_wins_and_the_partner_changes_over(self, server: Relay) -> None:
        gateway, _ = server.join(Side.GATEWAY)
        old, _ = server.join(Side.TECHNICIAN)
        new, commands = server.join(Side.TECHNICIAN)
        assert reasons(commands) == [(old, CloseReason.REPLACED)]
        assert commands[1:] == [
            Part(old),
            Part(gateway),
            Send(gateway, GONE),
            Admit(new, SESSION, Side.TECHNICIAN),
            Join(new, gateway),
            Send(new, READY_PAIRED),
            Send(gateway, READY_PAIRED),
        ]

    def test_the_replaced_leg_takes_nothing_with_it_when_it_goes(self, server: Relay) -> None:
        old, _ = server.join(Side.TECHNICIAN)
        server.join(Side.TECHNICIAN)
        assert server.rules.disconnected(old) == []
        gateway, commands = server.join(Side.GATEWAY)
        assert Send(gateway, READY_PAIRED) in commands

    def test_another_key_cannot_take_a_side_that_is_held(self, server: Relay) -> None:
        held, _ = server.join(Side.GATEWAY)
        leg = server.connect()
        commands = server.prove(leg, token(Side.GATEWAY, STRANGER), STRANGER)
        assert reasons(commands) == [(leg, CloseReason.SIDE_TAKEN)]
        assert server.say(held, relay.Ping(bytes(8))) == [
            Send(held, relay.encode(relay.Pong(bytes(8))))
        ]

    def test_a_side_is_free_when_its_leg_is_gone(self, server: Relay) -> None:
        held, _ = server.join(Side.GATEWAY)
        server.rules.disconnected(held)
        leg = server.connect()
        commands = server.prove(leg, token(Side.GATEWAY, STRANGER), STRANGER)
        assert Admit(leg, SESSION, Side.GATEWAY) in commands


class TestMessages:
    def test_a_signal_goes_to_the_partner(self, server: Relay) -> None:
        gateway, _ = server.join(Side.GATEWAY)
        technician, _ = server.join(Side.TECHNICIAN)
        assert server.say(technician, SIGNAL) == [Send(gateway, SIGNAL)]
        assert server.say(gateway, SIGNAL) == [Send(technician, SIGNAL)]

    def test_data_without_a_partner_are_dropped_and_counted(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        assert server.say(leg, DATA) == [DropMessage(leg)]

    def test_a_handshake_waits_for_its_partner(self, server: Relay) -> None:
        technician, _ = server.join(Side.TECHNICIAN)
        assert server.say(technician, INITIATION) == []
        gateway, commands = server.join(Side.GATEWAY)
        assert commands[-1] == Send(gateway, INITIATION)

    def test_a_handshake_waits_only_as_long_as_its_sender(self, server: Relay) -> None:
        technician, _ = server.join(Side.TECHNICIAN)
        server.say(technician, INITIATION)
        server.later(EARLY_TTL_S)
        gateway, commands = server.join(Side.GATEWAY)
        assert Send(gateway, INITIATION) not in commands

    def test_a_handshake_of_a_leg_that_left_is_not_delivered(self, server: Relay) -> None:
        server.join(Side.GATEWAY, session=OTHER_SESSION)
        technician, _ = server.join(Side.TECHNICIAN)
        server.say(technician, INITIATION)
        server.rules.disconnected(technician)
        _, commands = server.join(Side.GATEWAY)
        assert not any(isinstance(c, Send) and c.message == INITIATION for c in commands)

    @pytest.mark.parametrize("message", [b"", b"\x10\x00\x00a", b"\x77", b"\x10\x00\x09abc"])
    def test_a_malformed_message_ends_its_own_leg_only(self, server: Relay, message: bytes) -> None:
        gateway, _ = server.join(Side.GATEWAY)
        technician, _ = server.join(Side.TECHNICIAN)
        commands = server.say(technician, message)
        assert reasons(commands) == [(technician, CloseReason.BAD_FRAME)]
        assert commands[1:] == [Part(technician), Part(gateway), Send(gateway, GONE)]

    def test_a_closed_leg_is_not_listened_to(self, server: Relay) -> None:
        gateway, _ = server.join(Side.GATEWAY)
        technician, _ = server.join(Side.TECHNICIAN)
        server.say(technician, b"\x77")
        assert server.say(technician, SIGNAL) == []
        assert server.rules.open_legs == (gateway,)

    def test_a_leg_that_says_goodbye_is_closed_without_reproach(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        assert reasons(server.say(leg, relay.Close(CloseReason.DONE))) == [(leg, CloseReason.DONE)]


class TestLease:
    def alive(self, server: Relay, leg: LegId, seconds: float) -> list[Command]:
        """Time passes while the leg answers every PING."""
        commands: list[Command] = []
        for _ in range(int(seconds / SLOT_S)):
            passed = server.later(SLOT_S)
            commands += [c for c in passed if not isinstance(c, Send)]
            server.rules.heard(leg, server.now)
        return commands

    def test_a_lease_ends_with_its_token(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY, expires_s=100)
        assert self.alive(server, leg, 100 - 2 * SLOT_S) == []
        assert reasons(self.alive(server, leg, 3 * SLOT_S)) == [(leg, CloseReason.LEASE_ENDED)]

    @pytest.mark.parametrize("step_s", [-86_400, 86_400])
    def test_setting_the_wall_clock_moves_no_lease(self, server: Relay, step_s: float) -> None:
        leg, _ = server.join(Side.GATEWAY, expires_s=100)
        server.wall_s += step_s
        assert self.alive(server, leg, 100 - 2 * SLOT_S) == []
        assert reasons(self.alive(server, leg, 3 * SLOT_S)) == [(leg, CloseReason.LEASE_ENDED)]

    def test_a_fresh_token_lengthens_the_lease(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY, expires_s=100)
        self.alive(server, leg, 50)
        assert server.say(leg, relay.Renew(token(Side.GATEWAY, expires_s=300))) == []
        assert self.alive(server, leg, 200) == []
        assert reasons(self.alive(server, leg, 51)) == [(leg, CloseReason.LEASE_ENDED)]

    def test_a_renewal_that_was_overtaken_does_not_shorten_the_lease(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY, expires_s=300)
        server.say(leg, relay.Renew(token(Side.GATEWAY, expires_s=50)))
        assert self.alive(server, leg, 290) == []

    def test_a_late_renewal_cannot_reopen_what_has_ended(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY, expires_s=10)
        self.alive(server, leg, 11)
        assert server.say(leg, relay.Renew(token(Side.GATEWAY))) == []
        assert server.rules.open_legs == ()

    @pytest.mark.parametrize(
        ("fresh", "reason"),
        [
            (token(Side.GATEWAY, session=OTHER_SESSION), CloseReason.TOKEN_INVALID),
            (token(Side.TECHNICIAN, GATEWAY), CloseReason.TOKEN_INVALID),
            (token(Side.GATEWAY, STRANGER), CloseReason.TOKEN_INVALID),
            (token(Side.GATEWAY, audience=RelayId("relay1")), CloseReason.WRONG_RELAY),
            (token(Side.GATEWAY, expires_s=0), CloseReason.TOKEN_EXPIRED),
            ("nonsense", CloseReason.TOKEN_INVALID),
        ],
    )
    def test_a_token_for_anything_else_renews_nothing(
        self, server: Relay, fresh: str, reason: CloseReason
    ) -> None:
        leg, _ = server.join(Side.GATEWAY)
        assert reasons(server.say(leg, relay.Renew(fresh))) == [(leg, reason)]


class TestClock:
    def test_a_quiet_leg_is_pinged_and_then_given_up(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        pinged = server.later(TIMING.ping_s + SLOT_S)
        assert [type(relay.decode(c.message)) for c in pinged if isinstance(c, Send)] == [
            relay.Ping
        ]
        commands = server.later(TIMING.dead_s - TIMING.ping_s)
        assert reasons(commands) == [(leg, CloseReason.SILENT)]
        assert Abort(leg) in commands

    def test_data_that_were_passed_on_are_a_sign_of_life(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        for _ in range(10):
            assert reasons(server.later(TIMING.dead_s - 1)) == []
            server.rules.heard(leg, server.now)

    def test_who_does_not_read_is_cut_off_at_the_write_deadline(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        server.rules.write_blocked(leg, server.now)
        assert server.later(TIMING.write_s - SLOT_S) == []
        assert server.later(2 * SLOT_S) == [
            CloseLeg(leg, CloseReason.TOO_SLOW, "did not read for 2 s"),
            Part(leg),
            Abort(leg),
        ]

    def test_who_reads_again_in_time_stays(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        server.rules.write_blocked(leg, server.now)
        server.later(1)
        server.rules.write_resumed(leg)
        assert server.later(10) == []

    def test_a_closed_leg_that_does_not_go_is_cut_off(self, server: Relay) -> None:
        leg = server.connect()
        server.say(leg, b"\x77")
        assert server.later(CLOSE_LINGER_S + SLOT_S) == [Abort(leg)]
        server.rules.disconnected(leg)
        assert server.rules.deadline() is None

    def test_a_leg_that_is_gone_is_forgotten(self, server: Relay) -> None:
        leg, _ = server.join(Side.GATEWAY)
        assert server.rules.disconnected(leg) == [Part(leg)]
        assert server.rules.disconnected(leg) == []
        assert (server.rules.channel_count, server.rules.deadline()) == (0, None)
        assert server.later(100) == []

    def test_the_partner_of_a_leg_that_left_waits_for_the_next(self, server: Relay) -> None:
        gateway, _ = server.join(Side.GATEWAY)
        technician, _ = server.join(Side.TECHNICIAN)
        assert server.rules.disconnected(technician) == [
            Part(technician),
            Part(gateway),
            Send(gateway, GONE),
        ]
        _, commands = server.join(Side.TECHNICIAN)
        assert Send(gateway, READY_PAIRED) in commands


class TestSteward:
    """The control plane's connection, which brings revocations."""

    @staticmethod
    def revoke(session: SessionId, lasts_s: float) -> relay.Revoke:
        claims = Revocation(session, RELAY, int(WALL), int(WALL + lasts_s))
        return relay.Revoke(mint(claims, TOKEN_KEY, key_id_of(TOKEN_KEY)))

    def test_it_stays_until_the_last_revocation_has_run_out(self, server: Relay) -> None:
        steward = server.connect()
        assert server.say(steward, self.revoke(SESSION, 120)) == [Trust(steward)]
        assert server.say(steward, self.revoke(OTHER_SESSION, 60)) == []
        for _ in range(11):
            assert reasons(server.later(10)) == []
            server.say(steward, relay.Pong(bytes(8)))
        assert reasons(server.later(10.5)) == [(steward, CloseReason.DONE)]

    def test_it_is_pinged_and_given_up_like_a_leg(self, server: Relay) -> None:
        steward = server.connect()
        server.say(steward, self.revoke(SESSION, 120))
        pinged = server.later(TIMING.ping_s + 1)
        assert [c.message[0] for c in pinged if isinstance(c, Send)] == [relay.FrameType.PING]
        assert reasons(server.later(TIMING.dead_s)) == [(steward, CloseReason.SILENT)]

    def test_what_it_said_holds_without_it(self, server: Relay) -> None:
        steward = server.connect()
        server.say(steward, self.revoke(SESSION, 60))
        server.rules.disconnected(steward)
        leg = server.connect()
        refused = server.say(leg, relay.Hello(relay.PROTOCOL_VERSION, token(Side.GATEWAY)))
        assert reasons(refused) == [(leg, CloseReason.REVOKED)]


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, data can only go to the other side of a channel."""

    legs = st.integers(0, 7)

    def __init__(self) -> None:
        super().__init__()
        self.server = Relay()
        self.known: list[LegId] = []
        self.admitted: dict[LegId, tuple[SessionId, Side]] = {}
        self.partner: dict[LegId, LegId | None] = {}

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Admit(leg, session, side):
                    self.admitted[leg] = session, side
                case Join(leg, partner):
                    self.partner[leg], self.partner[partner] = partner, leg
                case Part(leg):
                    self.partner[leg] = None
                case CloseLeg(leg):
                    self.admitted.pop(leg, None)

    def pick(self, number: int) -> LegId | None:
        return self.known[number % len(self.known)] if self.known else None

    @rule(side=st.sampled_from(Side), session=st.sampled_from([SESSION, OTHER_SESSION]))
    def join(self, side: Side, session: SessionId) -> None:
        leg, commands = self.server.join(side, session=session, expires_s=1_000_000)
        self.known.append(leg)
        self.obey(commands)

    @rule(number=legs)
    def leave(self, number: int) -> None:
        leg = self.pick(number)
        if leg is not None:
            self.known.remove(leg)
            self.obey(self.server.rules.disconnected(leg))
            self.admitted.pop(leg, None)

    @rule(number=legs, message=st.sampled_from([DATA, INITIATION, SIGNAL, b"", b"\x77"]))
    def say(self, number: int, message: bytes) -> None:
        leg = self.pick(number)
        if leg is not None:
            self.obey(self.server.say(leg, message))

    @rule(number=legs)
    def block(self, number: int) -> None:
        leg = self.pick(number)
        if leg is not None:
            self.server.rules.write_blocked(leg, self.server.now)

    @rule(seconds=st.sampled_from([1.0, 5.0, 50.0]))
    def wait(self, seconds: float) -> None:
        self.obey(self.server.later(seconds))

    @invariant()
    def partners_are_the_two_sides_of_one_session(self) -> None:
        for leg, partner in self.partner.items():
            if partner is None:
                continue
            assert self.partner[partner] == leg
            session, side = self.admitted[leg]
            assert self.admitted[partner] == (session, side.other)

    @invariant()
    def channels_are_those_of_admitted_legs(self) -> None:
        sessions = {session for session, _ in self.admitted.values()}
        assert self.server.rules.channel_count == len(sessions)


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
