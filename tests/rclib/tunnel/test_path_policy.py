"""Which way packets take: the attempt step by step, and what no order of events may break."""

from __future__ import annotations

import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rclib.tunnel import path_policy
from rclib.tunnel.path_policy import (
    AGREE_LIMIT_S,
    ATTEMPT_LIMIT_S,
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    PROBATION_S,
    SETTLED_S,
    SOON_S,
    STALL_S,
    Changed,
    CheckRelay,
    PathCommand,
    PathPolicy,
    PathState,
    PointToPeer,
    PointToRelay,
    Probe,
    Signal,
    StartIce,
    StopIce,
    TakePort,
)
from rclib.wire.identity import Side
from rclib.wire.path_signal import FellBack, Moved, MoveRequest, RestartRequest


def technician() -> PathPolicy:
    """Ready to begin, and with its first attempt begun at 0."""
    policy = PathPolicy(Side.TECHNICIAN)
    assert policy.signalling(0, possible=True) == []
    assert policy.handshaken(0) == [StartIce(1)]
    return policy


def direct_technician(now: float = 0.0) -> PathPolicy:
    policy = technician()
    policy.answered(1, now)
    policy.nominated(1, now)
    policy.moved(1, now)
    policy.port_taken(1, 0, now)
    policy.measured(100, 0, now)
    assert policy.state is PathState.DIRECT
    return policy


def direct_gateway() -> PathPolicy:
    policy = PathPolicy(Side.GATEWAY)
    policy.offered(1, 0)
    policy.nominated(1, 0)
    policy.asked_to_move(1, 0)
    policy.port_taken(1, 0, 0)
    policy.measured(100, 0, 0)
    assert policy.state is PathState.DIRECT
    return policy


class TestAttempt:
    def test_an_attempt_begins_when_the_relay_carries_and_a_handshake_was_made(self) -> None:
        policy = PathPolicy(Side.TECHNICIAN)
        assert policy.deadline() is None
        assert policy.handshaken(1) == []
        assert policy.signalling(2, possible=True) == [StartIce(1)]
        assert policy.state is PathState.GATHERING

    def test_the_technician_asks_waits_and_then_moves_and_points_in_one_step(self) -> None:
        policy = technician()
        assert policy.answered(1, 0.1) == []
        assert policy.nominated(1, 0.2) == [Signal(MoveRequest(1))]
        assert policy.state is PathState.AGREED
        assert policy.moved(1, 0.3) == [TakePort(1, point=True)]
        assert policy.port_taken(1, 500, 0.31) == []
        assert policy.measured(500, 10, 0.35) == [], "what came by the relay is no proof"
        assert policy.measured(532, 20, 0.4) == [
            Changed(is_direct=True, detail=""),
            PointToPeer(),
            Probe(),
        ]
        assert policy.state is PathState.DIRECT

    @pytest.mark.parametrize("asked_first", [True, False])
    def test_the_gateway_moves_when_both_ends_have_the_pair(self, *, asked_first: bool) -> None:
        policy = PathPolicy(Side.GATEWAY)
        assert policy.offered(1, 0) == [StartIce(1)]
        steps = [policy.asked_to_move, policy.nominated]
        first, second = steps if asked_first else steps[::-1]
        assert first(1, 0.1) == []
        assert second(1, 0.2) == [TakePort(1, point=False)], "it goes on sending by the relay"
        assert policy.port_taken(1, 0, 0.3) == [Signal(Moved(1))]
        assert policy.measured(32, 0, 0.4) == [
            Changed(is_direct=True, detail=""),
            PointToPeer(),
            Probe(),
        ]

    def test_the_gateway_never_begins_and_the_technician_never_answers(self) -> None:
        gateway = PathPolicy(Side.GATEWAY)
        assert gateway.signalling(0, possible=True) + gateway.handshaken(0) == []
        assert gateway.due(1e9) == []
        assert PathPolicy(Side.TECHNICIAN).offered(1, 0) == []

    def test_a_newer_offer_ends_the_attempt_under_way(self) -> None:
        policy = PathPolicy(Side.GATEWAY)
        policy.offered(1, 0)
        assert policy.offered(1, 0) == [], "repeated"
        commands = policy.offered(2, 0)
        assert [type(each) for each in commands] == [StopIce, Changed, StartIce]
        assert policy.nominated(1, 0) == []

    def test_an_offer_while_direct_leads_back_to_the_relay_first(self) -> None:
        commands = direct_gateway().offered(2, 1)
        assert [type(each) for each in commands] == [PointToRelay, Changed, StartIce]


class TestLimits:
    @pytest.mark.parametrize(
        ("steps", "limit_s"),
        [
            ([], ATTEMPT_LIMIT_S),
            (["answered"], ATTEMPT_LIMIT_S),
            (["answered", "nominated"], AGREE_LIMIT_S),
        ],
    )
    def test_every_state_of_an_attempt_has_an_end(self, steps: list[str], limit_s: float) -> None:
        policy = technician()
        for step in steps:
            getattr(policy, step)(1, 0.0)
        assert policy.due(limit_s - 0.01) == []
        commands = policy.due(limit_s)
        assert StopIce() in commands
        assert policy.state is PathState.RELAY

    def test_without_a_direct_byte_within_the_probation_the_relay_carries_on(self) -> None:
        policy = technician()
        policy.answered(1, 0)
        policy.nominated(1, 0)
        policy.moved(1, 0)
        policy.port_taken(1, 0, 1.0)
        assert policy.measured(0, 5, 1.0 + PROBATION_S - 0.01) == []
        commands = policy.measured(0, 6, 1.0 + PROBATION_S)
        assert [type(each) for each in commands] == [Signal, PointToRelay, Changed]
        assert policy.state is PathState.RELAY

    def test_a_gate_that_refuses_costs_the_attempt_and_nothing_else(self) -> None:
        policy = technician()
        policy.answered(1, 0)
        policy.nominated(1, 0)
        policy.moved(1, 0)
        commands = policy.port_refused(1, 0.1, "busy")
        back = Changed(is_direct=False, detail="busy")
        assert commands == [StopIce(), Signal(FellBack(1, "busy")), PointToRelay(), back]

    def test_waits_double_up_to_a_bound(self) -> None:
        policy, now, waits = technician(), 0.0, []
        for attempt in range(1, 12):
            assert policy.attempt == attempt
            policy.ice_failed(attempt, now, "no pair")
            retry_at = policy.deadline()
            assert retry_at is not None
            waits.append(retry_at - now)
            now = retry_at
            assert policy.due(now) == [StartIce(attempt + 1)]
        assert waits[:3] == [BACKOFF_BASE_S, 2 * BACKOFF_BASE_S, 4 * BACKOFF_BASE_S]
        assert waits[-1] == BACKOFF_CAP_S


class TestWatching:
    @pytest.mark.parametrize("make", [direct_technician, direct_gateway])
    def test_a_path_that_brings_nothing_is_left_at_once(self, make: type[PathPolicy]) -> None:
        policy = make()
        assert policy.measured(100, 50, STALL_S - 0.1) == [CheckRelay()], "is the way back there?"
        commands = policy.measured(100, 100, STALL_S)
        assert [type(each) for each in commands] == [Signal, PointToRelay, Changed]

    def test_an_idle_path_is_probed(self) -> None:
        policy = direct_technician()
        policy.measured(132, 32, 0.5)
        assert policy.measured(164, 32, 1.0) == [Probe()]
        assert policy.measured(196, 64, 1.5) == []

    def test_a_path_that_brings_something_is_kept(self) -> None:
        policy = direct_technician()
        for tick in range(1, 100):
            assert policy.measured(100 + tick, tick, tick * STALL_S * 0.9) == []

    def test_a_dip_of_the_count_is_no_sign_of_life_when_it_recovers(self) -> None:
        policy = direct_technician()
        policy.measured(60, 1, 0.5)
        policy.measured(100, 2, 1.0)
        policy.measured(100, 3, STALL_S)
        assert policy.state is PathState.RELAY

    def test_the_other_ends_word_is_enough(self) -> None:
        commands = direct_technician().fell_back(1, 1, "stall")
        assert [type(each) for each in commands] == [PointToRelay, Changed]

    def test_after_a_settled_path_the_next_attempt_comes_soon(self) -> None:
        policy = direct_technician()
        policy.measured(101, 0, SETTLED_S)
        policy.due(SETTLED_S + STALL_S)
        assert policy.deadline() == SETTLED_S + STALL_S + SOON_S

    def test_after_a_short_one_it_waits(self) -> None:
        policy = direct_technician()
        policy.due(STALL_S)
        assert policy.deadline() == STALL_S + BACKOFF_BASE_S


class TestNetworkChange:
    def test_a_broken_path_is_left_and_sought_anew_without_a_timeout(self) -> None:
        policy = direct_technician()
        commands = policy.network_changed(10, broken=True)
        assert [type(each) for each in commands] == [Signal, PointToRelay, Changed]
        assert policy.due(10 + SOON_S) == [StartIce(2)]

    def test_a_change_elsewhere_leaves_the_path_alone(self) -> None:
        assert direct_technician().network_changed(10, broken=False) == []

    def test_the_gateway_asks_the_technician_to_begin(self) -> None:
        commands = direct_gateway().network_changed(10, broken=True)
        assert commands[-1] == Signal(RestartRequest())

    def test_the_technician_begins_when_asked(self) -> None:
        policy = technician()
        policy.ice_failed(1, 1, "no pair")
        assert policy.restart_requested(1.5) == []
        assert policy.due(1 + SOON_S) == [StartIce(2)]


def test_the_document_has_the_codes_limits() -> None:
    from tests.docs.test_protocol_documents import DOCS  # noqa: PLC0415 - one place for the path

    text = (DOCS.parent / "paths.md").read_text(encoding="utf-8")
    states = text.split("## States\n")[1].split("\n## ")[0]
    rows = [
        line.split("|")[1:3] for line in states.splitlines() if re.match(r"\| `[A-Z_]+_S`", line)
    ]
    limits = {name.strip(" `"): float(value) for name, value in rows}
    for name, value in limits.items():
        assert getattr(path_policy, name) == value, name
    assert {n for n in vars(path_policy) if n.endswith("_S")} == set(limits)


class TwoEnds(RuleBasedStateMachine):
    """Both ends, a lossy order-keeping way between them, and a clock; anything may fail anytime."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.ends = {side: PathPolicy(side) for side in Side}
        self.under_way: dict[Side, list[object]] = {side: [] for side in Side}
        self.ice: dict[Side, int | None] = dict.fromkeys(Side)
        self.moving: dict[Side, tuple[int, bool] | None] = dict.fromkeys(Side)
        self.directly: dict[Side, bool] = dict.fromkeys(Side, False)
        self.received = dict.fromkeys(Side, 0)
        self.do(Side.TECHNICIAN, self.ends[Side.TECHNICIAN].signalling(0, possible=True))
        self.do(Side.TECHNICIAN, self.ends[Side.TECHNICIAN].handshaken(0))

    def do(self, side: Side, commands: list[PathCommand]) -> None:
        for command in commands:
            match command:
                case StartIce(attempt):
                    assert self.ice[side] is None, "one attempt at a time"
                    assert not self.directly[side], "an attempt starts from the relay"
                    self.ice[side] = attempt
                    self.under_way[side.other].append(("ice", attempt))
                case StopIce():
                    self.ice[side] = self.moving[side] = None
                case TakePort(attempt, point):
                    assert self.ice[side] == attempt
                    self.moving[side] = (attempt, point)
                case PointToRelay():
                    self.directly[side] = False
                    self.moving[side] = None
                case Signal(body):
                    self.under_way[side.other].append(body)
                case _:
                    pass

    @rule(side=st.sampled_from(Side), lost=st.booleans())
    def signal_arrives(self, side: Side, *, lost: bool) -> None:
        if not self.under_way[side]:
            return
        body, end = self.under_way[side].pop(0), self.ends[side]
        if lost:
            return
        match body:
            case ("ice", int(attempt)) if side is Side.GATEWAY:
                self.do(side, end.offered(attempt, self.now))
            case ("ice", int(attempt)):
                self.do(side, end.answered(attempt, self.now))
            case MoveRequest(attempt):
                self.do(side, end.asked_to_move(attempt, self.now))
            case Moved(attempt):
                self.do(side, end.moved(attempt, self.now))
            case FellBack(attempt, detail):
                self.do(side, end.fell_back(attempt, self.now, detail))
            case RestartRequest():
                self.do(side, end.restart_requested(self.now))

    @rule(side=st.sampled_from(Side), works=st.booleans())
    def ice_ends(self, side: Side, *, works: bool) -> None:
        attempt = self.ice[side]
        if attempt is None or self.moving[side] is not None:
            return
        end = self.ends[side]
        if works:
            self.do(side, end.nominated(attempt, self.now))
        else:
            self.do(side, end.ice_failed(attempt, self.now, "no pair"))

    @rule(side=st.sampled_from(Side), works=st.booleans())
    def gate_answers(self, side: Side, *, works: bool) -> None:
        moving, end = self.moving[side], self.ends[side]
        if moving is None:
            return
        self.ice[side] = self.moving[side] = None
        attempt, point = moving
        if works:
            self.directly[side] = point
            self.do(side, end.port_taken(attempt, self.received[side], self.now))
        else:
            self.do(side, end.port_refused(attempt, self.now, "refused"))

    @rule(side=st.sampled_from(Side), arrived=st.booleans())
    def counters_are_read(self, side: Side, *, arrived: bool) -> None:
        end = self.ends[side]
        self.received[side] += 32 * arrived
        if arrived and end.state is PathState.PROBATION:
            self.directly[side] = True
        self.do(side, end.measured(self.received[side], 0, self.now))

    @rule(side=st.sampled_from(Side), broken=st.booleans())
    def network_changes(self, side: Side, *, broken: bool) -> None:
        self.do(side, self.ends[side].network_changed(self.now, broken=broken))

    @rule(seconds=st.floats(0.01, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for side, end in self.ends.items():
            self.do(side, end.due(self.now))

    @invariant()
    def at_the_relay_nothing_points_elsewhere(self) -> None:
        for side, end in self.ends.items():
            if end.state is PathState.RELAY:
                assert not self.directly[side]
                assert self.ice[side] is None
                assert self.moving[side] is None

    @invariant()
    def every_state_but_the_gateways_relay_has_an_end(self) -> None:
        for side, end in self.ends.items():
            if end.state is not PathState.RELAY or side is Side.TECHNICIAN:
                assert end.deadline() is not None

    @precondition(lambda self: self.ends[Side.TECHNICIAN].state is PathState.RELAY)
    @rule()
    def from_the_relay_a_direct_path_can_always_be_had(self) -> None:
        """With nothing lost from here on, the attempt succeeds: no state is a trap."""
        for queue in self.under_way.values():
            queue.clear()
        retry_at = self.ends[Side.TECHNICIAN].deadline()
        assert retry_at is not None
        self.time_passes(max(0.0, retry_at - self.now) + 0.001)
        for _ in range(3):
            for side in Side:
                while self.under_way[side]:
                    self.signal_arrives(side, lost=False)
        for side in (Side.TECHNICIAN, Side.GATEWAY):
            self.ice_ends(side, works=True)
        for side in (Side.GATEWAY, Side.TECHNICIAN):
            while self.under_way[side]:
                self.signal_arrives(side, lost=False)
            self.gate_answers(side, works=True)
        for side in (Side.GATEWAY, Side.TECHNICIAN):
            self.counters_are_read(side, arrived=True)
            assert self.ends[side].state is PathState.DIRECT


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
