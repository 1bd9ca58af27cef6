"""The relay's rules: at this time this event, and exactly these commands."""

from __future__ import annotations

import pytest

from rclib.tunnel.early_messages import EARLY_TTL_S
from rclib.wire import relay
from rclib.wire.identity import Side, relay_statement, sign, token_digest
from rclib.wire.ids import Nonce, RelayId
from rclib.wire.relay import CloseReason
from relayd.commands import Admit, DropMessage, Join, Part, Send
from relayd.timer_wheel import SLOT_S
from tests.relayd.rules_by_hand import (
    DATA,
    GATEWAY,
    GONE,
    INITIATION,
    OTHER_SESSION,
    READY_ALONE,
    READY_PAIRED,
    RELAY,
    SESSION,
    SIGNAL,
    STRANGER,
    TIMING,
    Relay,
    reasons,
    token,
)


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
