"""The batch lane, without sockets, against the general lane."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from rclib.wire import stun
from rclib.wire.stun import Message, MessageClass, Method
from rclib.wire.stun_attributes import TransportAddress
from stund.batch import blank_answers, ipv4_mapped, plain_requests, write_answers
from stund.responder import Outcome, respond

PLAIN = stun.encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12)))
MAPPED = IPv6Address("::ffff:192.0.2.1")

headers = st.one_of(
    st.binary(min_size=12, max_size=12).map(lambda transaction: PLAIN[:8] + transaction),
    st.tuples(st.integers(0, 19), st.integers(0, 255)).map(
        lambda change: PLAIN[: change[0]] + bytes([change[1]]) + PLAIN[change[0] + 1 :]
    ),
    st.binary(min_size=20, max_size=20),
)
sizes = st.one_of(st.just(20), st.integers(0, 1504))
ports = st.one_of(st.sampled_from([0, 3478]), st.integers(0, 0xFFFF))
hosts = {4: st.ip_addresses(v=4), 6: st.one_of(st.just(MAPPED), st.ip_addresses(v=6))}
Row = tuple[bytes, int, int, IPv4Address | IPv6Address]


def rows(version: int) -> st.SearchStrategy[list[Row]]:
    return st.lists(st.tuples(headers, sizes, ports, hosts[version]), min_size=1, max_size=40)


@given(st.sampled_from([4, 6]).flatmap(rows))
@example([(PLAIN, 20, 5000, MAPPED)])
def test_what_the_batch_lane_takes_it_answers_as_the_general_lane_would(found: list[Row]) -> None:
    requests = np.frombuffer(b"".join(row[0] for row in found), np.uint32).reshape(-1, 5)
    lengths = np.array([row[1] for row in found], np.uint32)
    from_ports = np.frombuffer(b"".join(row[2].to_bytes(2, "big") for row in found), np.uint16)
    packed = b"".join(row[3].packed for row in found)
    addresses = np.frombuffer(packed, np.uint32).reshape(len(found), -1)

    plain = plain_requests(requests, lengths, from_ports, addresses)
    answers = blank_answers(len(found), TransportAddress(found[0][3], 0))
    write_answers(answers, requests, from_ports, addresses)

    for row, (header, size, port, host) in enumerate(found):
        is_plain = size == 20 and header[:8] == PLAIN[:8] and port not in (0, 3478)
        assert plain[row] == (is_plain and getattr(host, "ipv4_mapped", None) is None)
        if plain[row]:
            expected = (Outcome.ANSWERED, answers[row].tobytes())
            assert respond(header, TransportAddress(host, port)) == expected


@given(st.lists(hosts[6], min_size=1))
def test_mapped_addresses_are_told_from_others(found: list[IPv6Address]) -> None:
    words = np.frombuffer(b"".join(host.packed for host in found), np.uint32).reshape(-1, 4)
    assert ipv4_mapped(words).tolist() == [host.ipv4_mapped is not None for host in found]
