"""How many may knock at once."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from relayd.accept_limits import AcceptLimits
from relayd.reasons import RefusedAccept

HERE = ip_address("192.0.2.1")
THERE = ip_address("192.0.2.2")


def limits(*, rate: int = 50, burst: int = 200, per_address: int = 20) -> AcceptLimits:
    return AcceptLimits(rate_per_s=rate, burst=burst, max_per_address=per_address)


def test_an_address_has_so_many_connections_on_their_way_and_no_more() -> None:
    door = limits(per_address=2)
    assert [door.accepted(n, HERE, 0) for n in range(3)] == [None, None, RefusedAccept.ADDRESS]
    assert door.accepted(3, THERE, 0) is None
    assert door.pending == 3


def test_who_is_admitted_or_gone_makes_room() -> None:
    door = limits(per_address=1)
    door.accepted(1, HERE, 0)
    door.settled(1)
    door.settled(1)
    assert door.accepted(2, HERE, 0) is None
    assert door.accepted(3, HERE, 0) is RefusedAccept.ADDRESS


def test_a_refused_connection_counts_nowhere_when_it_closes() -> None:
    door = limits(per_address=1)
    door.accepted(1, HERE, 0)
    door.accepted(2, HERE, 0)
    door.settled(2)
    assert door.accepted(3, HERE, 0) is RefusedAccept.ADDRESS


def test_an_ipv6_network_counts_as_one_subscriber() -> None:
    door = limits(per_address=1)
    assert door.accepted(1, ip_address("2001:db8::1"), 0) is None
    assert door.accepted(2, ip_address("2001:db8::ffff"), 0) is RefusedAccept.ADDRESS
    assert door.accepted(3, ip_address("2001:db8:0:1::1"), 0) is None


def test_a_burst_passes_and_then_the_rate_counts() -> None:
    door = limits(rate=10, burst=3, per_address=100)
    accepted = [door.accepted(n, HERE, 100) for n in range(5)]
    assert accepted == [None, None, None, RefusedAccept.RATE, RefusedAccept.RATE]
    assert door.accepted(5, HERE, 100.125) is None
    assert door.accepted(6, HERE, 100.125) is RefusedAccept.RATE


def test_the_time_of_the_accept_is_known_until_the_connection_is_settled() -> None:
    door = limits()
    door.accepted(1, HERE, 42)
    assert door.accepted_at(1) == 42
    door.settled(1)
    assert door.accepted_at(1) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.sampled_from([HERE, THERE]))))
def test_the_books_balance(steps: list[tuple[bool, int, object]]) -> None:
    door = limits(rate=1000, burst=1000, per_address=5)
    model: dict[int, object] = {}
    for is_accept, number, host in steps:
        if not is_accept:
            door.settled(number)
            model.pop(number, None)
        elif number not in model:
            refused = door.accepted(number, host, 0)  # type: ignore[arg-type]
            full = list(model.values()).count(host) >= 5
            assert (refused is RefusedAccept.ADDRESS) is full
            if not full:
                model[number] = host
        assert door.pending == len(model)
