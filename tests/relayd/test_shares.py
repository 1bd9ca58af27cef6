"""Who keeps within its share of the loop's time goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relayd.shares import BURST_S, LATELY_S, Account, Shares

READ_S = 25e-6
"""What one read of a busy leg takes."""


class Loop:
    """Charges reads one after the other, as a loop on a core of its own does."""

    def __init__(self) -> None:
        self.now = 0.0
        self._shares = Shares(self.now)

    def account(self) -> Account:
        return Account(self.now)

    def reads(self, account: Account, seconds: float = READ_S) -> None:
        self.now += seconds
        self._shares.charge(account, seconds, self.now)


@given(busy=st.integers(2, 100))
def test_beside_any_number_of_legs_that_always_send_one_that_sends_little_stays_quiet(
    busy: int,
) -> None:
    loop = Loop()
    senders = [loop.account() for _ in range(busy)]
    quiet = loop.account()
    began = loop.now
    while loop.now < began + 4 * LATELY_S:
        for sender in senders:
            loop.reads(sender)
        loop.reads(quiet, READ_S / 4)
        assert not quiet.is_busy
    assert all(sender.is_busy for sender in senders)


def test_a_leg_that_has_sent_much_is_quiet_again_soon_after() -> None:
    loop = Loop()
    sender, other = loop.account(), loop.account()
    for _ in range(10_000):
        loop.reads(sender)
    assert sender.is_busy
    loop.now += 4 * BURST_S
    loop.reads(other)
    loop.reads(sender, 1e-6)
    assert not sender.is_busy


@given(
    uses=st.lists(
        st.tuples(st.integers(0, 9), st.floats(1e-6, 1e-3), st.floats(0, 1e-3)), max_size=300
    )
)
def test_nobody_owes_more_than_a_burst_nor_saves_up_more(
    uses: list[tuple[int, float, float]],
) -> None:
    loop = Loop()
    accounts = [loop.account() for _ in range(10)]
    for number, seconds, pause in uses:
        loop.now += pause
        account = accounts[number]
        loop.reads(account, seconds)
        assert -BURST_S <= account.left <= BURST_S
        assert account.is_busy is (account.left < 0)
