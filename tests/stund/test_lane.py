"""Both lanes over real sockets: what comes back is what the general lane alone would say."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rclib.runtime.net import endpoint_of
from rclib.wire import stun
from rclib.wire.stun_attributes import MAGIC_COOKIE, TransportAddress
from stund.lane import OUTCOMES, Lane
from stund.limiter import SECRET_BYTES, SLOTS, RateLimiter
from stund.responder import Outcome, respond
from stund.ring import CAPACITY, PlainRing, VectorRing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stund.ring import Ring


class Bench:
    """A lane on a socket and a client that sends to it."""

    def __init__(
        self, ring: type[Ring], bound: str, client: str, limiter: RateLimiter | None = None
    ) -> None:
        self._undo = ExitStack()
        v6 = ":" in bound
        server = self._open(socket.AF_INET6 if v6 else socket.AF_INET)
        if v6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind((bound, 0))
        server.setblocking(False)
        self.client = self._open(socket.AF_INET6 if ":" in client else socket.AF_INET)
        self.client.bind((client, 0))
        self.client.connect((client, server.getsockname()[1]))
        self.client.setblocking(False)
        self.counts = np.zeros(len(OUTCOMES), np.int64)
        self._lane = Lane(ring(server), self.counts, limiter, clock=lambda: 1000.0)
        name = endpoint_of(self.client.getsockname())
        self.source = TransportAddress(name.host, name.port)

    def _open(self, family: socket.AddressFamily) -> socket.socket:
        sock = self._undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        return sock

    def exchange(self, datagrams: list[bytes]) -> list[bytes]:
        """Loopback delivers within the send call, so nothing has to be waited for."""
        for each in datagrams:
            self.client.send(each)
        self._lane.drain()
        answers = []
        while True:
            try:
                answers.append(self.client.recv(2000))
            except BlockingIOError:
                return answers

    def outcomes(self) -> Counter[Outcome]:
        found = dict(zip(OUTCOMES, self.counts.tolist(), strict=True))
        self.counts[:] = 0
        return Counter(found)

    def close(self) -> None:
        self._undo.close()


BENCHES = [
    (ring, bound, client)
    for ring in (VectorRing, PlainRing)
    for bound, client in [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - the kernel then reports the local address
        ("::1", "::1"),
        ("::", "::1"),
        ("::", "127.0.0.1"),  # dual stack
    ]
]


@pytest.fixture(scope="module", params=BENCHES, ids=lambda row: f"{row[0].__name__}-{row[1:]}")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(*request.param)
    yield made
    made.close()


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("!HHI12s", kind, len(body), MAGIC_COOKIE, bytes(12)) + body


def with_fingerprint(request: bytes) -> bytes:
    head = request[:2] + struct.pack("!H", len(request) - 20 + 8) + request[4:]
    return head + struct.pack("!HHI", 0x8028, 4, stun.fingerprint_of(head))


plain = st.binary(min_size=12, max_size=12).map(
    lambda transaction: struct.pack("!HHI", 1, 0, MAGIC_COOKIE) + transaction
)
bodies = st.lists(
    st.tuples(st.sampled_from([0x0006, 0x0020, 0x0024, 0x8022, 0x9999]), st.binary(max_size=9)),
    max_size=4,
).map(
    lambda found: b"".join(
        struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
        for kind, value in found
    )
)
messages = st.builds(message, st.sampled_from([0x0001, 0x0001, 0x0011, 0x0101, 0x0003]), bodies)
datagrams = st.one_of(
    plain,
    messages,
    messages.map(with_fingerprint),
    st.binary(max_size=40),
    messages.flatmap(lambda data: st.integers(0, len(data)).map(lambda end: data[:end])),
    st.just(bytes(1501)),
)


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(datagrams, max_size=80))
def test_answers_and_counts_are_those_of_the_general_lane(bench: Bench, batch: list[bytes]) -> None:
    replies = [respond(each, bench.source) for each in batch]

    assert bench.exchange(batch) == [reply.answer for reply in replies if reply.answer]
    assert bench.outcomes() == Counter(reply.outcome for reply in replies)


def test_more_than_a_ring_of_requests_is_answered(bench: Bench) -> None:
    requests = [message(0x0001, b"") for _ in range(CAPACITY + 44)]
    assert len(bench.exchange(requests)) == CAPACITY + 44
    assert bench.outcomes() == Counter({Outcome.ANSWERED: CAPACITY + 44})


@pytest.mark.parametrize("ring", [VectorRing, PlainRing])
def test_the_rate_is_that_of_both_lanes_together(ring: type[Ring]) -> None:
    limiter = RateLimiter(
        np.zeros(SLOTS, np.int64), per_s=10, burst=30, secret=bytes(range(SECRET_BYTES))
    )
    tested = Bench(ring, "127.0.0.1", "127.0.0.1", limiter)
    requests = [message(0x0001, b""), with_fingerprint(message(0x0001, b""))] * 50

    answers = tested.exchange(requests)

    assert Counter(map(len, answers)) == {32: 15, 40: 15}
    assert tested.outcomes() == Counter({Outcome.ANSWERED: 30, Outcome.RATE_LIMITED: 70})
    tested.close()


@pytest.mark.parametrize("ring", [VectorRing, PlainRing])
def test_what_is_no_request_spends_no_rate(ring: type[Ring]) -> None:
    limiter = RateLimiter(
        np.zeros(SLOTS, np.int64), per_s=10, burst=1, secret=bytes(range(SECRET_BYTES))
    )
    tested = Bench(ring, "127.0.0.1", "127.0.0.1", limiter)
    assert len(tested.exchange([message(0x0011, b""), b"x", message(0x0001, b"")])) == 1
    tested.close()
