from __future__ import annotations

import hashlib
from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stund.limiter import SECRET_BYTES, SLOTS, RateLimiter, source_keys

SECRET = hashlib.sha256(b"of the tests").digest()[:SECRET_BYTES]
INTERVAL_US = 100_000


def limiter(burst: int = 30, per_s: float = 10) -> RateLimiter:
    return RateLimiter(np.zeros(SLOTS, np.int64), per_s=per_s, burst=burst, secret=SECRET)


def keys(*addresses: str) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    packed = b"".join(ip_address(each).packed for each in addresses)
    return source_keys(np.frombuffer(packed, np.uint32).reshape(len(addresses), -1))


class Oracle:
    """One source's token bucket as a textbook has it, in whole microseconds of credit."""

    def __init__(self, burst: int) -> None:
        self.most = burst * INTERVAL_US
        self.credit = self.most
        self.at = 0

    def admits(self, now_us: int) -> bool:
        self.credit = min(self.most, self.credit + now_us - self.at)
        self.at = now_us
        if self.credit < INTERVAL_US:
            return False
        self.credit -= INTERVAL_US
        return True


@given(
    st.integers(1, 30),
    st.lists(
        st.tuples(st.integers(0, 3 * INTERVAL_US), st.lists(st.integers(0, 3), max_size=40)),
        max_size=20,
    ),
)
def test_each_source_has_the_bucket_of_the_textbook(
    burst: int, batches: list[tuple[int, list[int]]]
) -> None:
    sources = keys("192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.9")
    tested, oracles = limiter(burst), [Oracle(burst) for _ in sources]
    now_us = 10**9
    for oracle in oracles:
        oracle.at = now_us
    for pause_us, batch in batches:
        now_us += pause_us
        expected = [oracles[source].admits(now_us) for source in batch]
        assert tested.admit(sources[np.array(batch, np.intp)], now_us).tolist() == expected


def test_a_burst_is_admitted_at_once_and_then_the_rate() -> None:
    tested, source = limiter(), keys("192.0.2.1")
    flood = np.repeat(source, 256)

    assert tested.admit(flood, 10**9).sum() == 30
    admitted = sum(int(tested.admit(flood, 10**9 + ms * 1000).sum()) for ms in range(1, 10_001))
    assert admitted == 100


def test_one_source_does_not_spend_what_another_has() -> None:
    tested = limiter()
    tested.admit(np.repeat(keys("192.0.2.1"), 256), 10**9)
    assert tested.admit(keys("192.0.2.2"), 10**9).all()


def test_an_ipv6_source_is_its_64() -> None:
    same = keys("2001:db8:1:2::1", "2001:db8:1:2:ffff::9")
    other = keys("2001:db8:1:3::1")
    assert same[0] == same[1] != other[0]


def test_an_ipv4_address_has_one_key_in_both_spellings() -> None:
    assert keys("::ffff:192.0.2.1")[0] == keys("192.0.2.1")[0]
    assert keys("::ffff:192.0.2.1")[0] != keys("::ffff:192.0.2.2")[0]


def test_sources_are_spread_evenly_whatever_their_addresses_have_in_common() -> None:
    tested = limiter(burst=1)
    row = np.arange(20_000, dtype=np.uint64)
    admitted = int(tested.admit(row << np.uint64(32) | np.uint64(0xC0000201), 10**9).sum())
    # 20,000 sources in 262,144 buckets: 3.7 % meet another one.
    assert 19_000 < admitted < 19_500


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="buckets"):
        RateLimiter(np.zeros(100, np.int64), per_s=1, burst=1, secret=SECRET)
