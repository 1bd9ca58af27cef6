"""A relay's loop: who brings little is read first. On a clock that only the test moves."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack
from time import thread_time
from typing import TYPE_CHECKING

import pytest

from relayd.shares import BURST_S, LATELY_S
from relayd.turn_loop import TURN_S, TurnLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relayd.turn_loop import _Reader

BUSY = 10
MANY = 4000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[TurnLoop]:
    with asyncio.Runner(loop_factory=lambda: TurnLoop(clock)) as runner:
        made = runner.get_loop()
        assert isinstance(made, TurnLoop)
        yield made


@pytest.fixture
def wires() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """As many connections as there are busy ones, and one more."""
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(BUSY + 1)]
        for each in (end for pair in pairs for end in pair):
            stack.enter_context(each)
        yield pairs


Wires = list[tuple[socket.socket, socket.socket]]


def keep_busy(
    loop: TurnLoop,
    clock: Clock,
    wires: Wires,
    order: list[int],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Have all but the last always readable, and each read take as long as a turn."""
    for number, (near, far) in enumerate(wires[:-1]):
        far.send(b"never taken")

        def read(number: int = number) -> None:
            order.append(number)
            clock.now += TURN_S
            meanwhile()
            if len(order) == MANY:
                loop.stop()

        loop.add_reader(near.fileno(), read)


@pytest.mark.parametrize("busy", [1, BUSY])
def test_a_quiet_connection_waits_for_no_busy_one_but_that_which_is_being_read(
    loop: TurnLoop, clock: Clock, wires: Wires, busy: int
) -> None:
    order: list[int] = []
    waited: list[int] = []
    sent_at: int | None = None
    near, far = wires[-1]

    def say() -> None:
        nonlocal sent_at
        # Not at each read: whom epoll has just told of keeps its place before the busy ones.
        if sent_at is None and len(order) % 3 == 0:
            sent_at = len(order)
            far.send(b"?")

    def hear() -> None:
        nonlocal sent_at
        assert sent_at is not None
        near.recv(1)
        waited.append(len(order) - sent_at)
        sent_at = None

    keep_busy(loop, clock, wires[-busy - 1 :], order, say)
    loop.add_reader(near.fileno(), hear)
    loop.run_forever()
    settled = waited[len(waited) // 2 :]
    assert len(settled) > MANY // 20
    assert set(settled) == {0}


def test_busy_connections_take_turns(loop: TurnLoop, clock: Clock, wires: Wires) -> None:
    order: list[int] = []
    keep_busy(loop, clock, wires, order)
    loop.run_forever()
    last = order[-3 * BUSY :]
    assert {last.count(number) for number in range(BUSY)} == {3}


def test_a_reader_is_removed_and_comes_back_whether_busy_or_not(
    loop: TurnLoop, clock: Clock, wires: Wires
) -> None:
    order: list[int] = []
    keep_busy(loop, clock, wires, order)
    loop.run_forever()
    for near, _ in wires[:-1]:
        assert loop.remove_reader(near.fileno())
        assert not loop.remove_reader(near.fileno())
    del order[:]
    loop.call_later(0, loop.stop)
    loop.run_forever()
    assert order == []
    loop.add_reader(wires[0][0], order.append, 7)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert set(order) == {7}


class CountingLoop(TurnLoop):
    """By the clock that relayd has."""

    moves = 0

    def _move(self, reader: _Reader) -> None:
        self.moves += 1
        super()._move(reader)


def test_busy_connections_stay_busy_while_other_programs_have_most_of_the_core(
    wires: Wires,
) -> None:
    read_s = 0.9 * BURST_S
    moves: list[int] = []

    def read() -> None:
        began = thread_time()
        while thread_time() < began + read_s:
            pass
        loop.call_soon(others_turn.wait, 2 * read_s)
        moves.append(loop.moves)
        if len(moves) == int(3 * LATELY_S / read_s):
            loop.stop()

    others_turn = threading.Event()
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        for near, far in wires[:3]:
            far.send(b"never taken")
            loop.add_reader(near.fileno(), read)
        loop.run_forever()
    settled = moves[len(moves) // 2 :]
    assert settled[-1] - settled[0] <= len(settled) // 10
