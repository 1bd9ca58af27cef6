"""The relay's rules over time: leases, signs of life, deadlines, what a revocation holds up."""

from __future__ import annotations

import pytest

from rclib.wire import relay
from rclib.wire.admission import Revocation, key_id_of, mint
from rclib.wire.identity import Side
from rclib.wire.ids import RelayId, SessionId
from rclib.wire.relay import CloseReason
from relayd.channels import CLOSE_LINGER_S
from relayd.commands import Abort, CloseLeg, Command, LegId, Part, Send, Trust
from relayd.timer_wheel import SLOT_S
from tests.relayd.rules_by_hand import (
    GATEWAY,
    GONE,
    OTHER_SESSION,
    READY_PAIRED,
    RELAY,
    SESSION,
    STRANGER,
    TIMING,
    TOKEN_KEY,
    WALL,
    Relay,
    reasons,
    token,
)


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
