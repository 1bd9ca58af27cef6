from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire import stun
from rclib.wire.stun_attributes import (
    ERROR_CODE,
    MAGIC_COOKIE,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    TransportAddress,
)
from stund.responder import Outcome, Reply, respond

DATA = Path(__file__).parents[1] / "data" / "stun"
V4 = TransportAddress(IPv4Address("192.0.2.7"), 40_000)
V6 = TransportAddress(IPv6Address("2001:db8::7"), 40_000)


def header(kind: int = 0x0001, length: int = 0, cookie: int = MAGIC_COOKIE) -> bytes:
    return struct.pack("!HHI12s", kind, length, cookie, bytes(range(12)))


def with_fingerprint(message: bytes) -> bytes:
    head = message[:2] + struct.pack("!H", len(message) - 20 + 8) + message[4:]
    return head + struct.pack("!HHI", 0x8028, 4, stun.fingerprint_of(head))


def vector(name: str) -> bytes:
    lines = (DATA / f"{name}.hex").read_text().splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


@pytest.mark.parametrize(("source", "size"), [(V4, 32), (V6, 44)])
def test_an_answer_holds_the_address_and_nothing_else(source: TransportAddress, size: int) -> None:
    outcome, answer = respond(header(), source)

    assert outcome is Outcome.ANSWERED
    assert answer is not None
    assert len(answer) == size
    parsed = aioice_stun.parse_message(answer)  # an implementation that is not ours
    assert list(parsed.attributes) == ["XOR-MAPPED-ADDRESS"]
    assert parsed.attributes["XOR-MAPPED-ADDRESS"] == (str(source.host), source.port)
    assert parsed.transaction_id == bytes(range(12))


@pytest.mark.parametrize(("source", "size"), [(V4, 40), (V6, 52)])
def test_a_fingerprint_is_answered_with_one(source: TransportAddress, size: int) -> None:
    _, answer = respond(with_fingerprint(header()), source)

    assert answer is not None
    assert len(answer) == size
    assert "FINGERPRINT" in aioice_stun.parse_message(answer).attributes


def test_a_wrong_fingerprint_is_met_with_silence() -> None:
    request = bytearray(with_fingerprint(header()))
    request[-1] ^= 1
    assert respond(bytes(request), V4) == Reply(Outcome.MALFORMED)


@pytest.mark.parametrize(
    ("datagram", "port", "outcome"),
    [
        (header(), 0, Outcome.SOURCE_PORT),
        (header(), 3478, Outcome.SOURCE_PORT),
        (header(length=1500) + bytes(1500), 4000, Outcome.TOO_LONG),
        (b"", 4000, Outcome.NOT_STUN),
        (header()[:19], 4000, Outcome.NOT_STUN),
        (header(0x4001), 4000, Outcome.NOT_STUN),
        (header(0x8001), 4000, Outcome.NOT_STUN),
        (header(cookie=0), 4000, Outcome.NO_COOKIE),
        (header(length=4), 4000, Outcome.WRONG_LENGTH),
        (header(length=2) + bytes(2), 4000, Outcome.WRONG_LENGTH),
        (header() + bytes(4), 4000, Outcome.WRONG_LENGTH),
        (header(0x0011), 4000, Outcome.NOT_A_REQUEST),
        (header(0x0101), 4000, Outcome.NOT_A_REQUEST),
        (header(0x0111), 4000, Outcome.NOT_A_REQUEST),
        (header(0x0003), 4000, Outcome.OTHER_METHOD),
        (header(length=4) + bytes.fromhex("80220001"), 4000, Outcome.MALFORMED),
    ],
)
def test_whatever_is_no_proper_request_is_met_with_silence(
    datagram: bytes, port: int, outcome: Outcome
) -> None:
    assert respond(datagram, TransportAddress(V4.host, port)) == Reply(outcome)


def test_the_longest_request_is_answered_and_a_longer_one_is_not() -> None:
    def padded(size: int) -> bytes:
        software = size - 24
        return header(length=size - 20) + struct.pack("!HH", 0x8022, software) + bytes(software)

    assert respond(padded(1500), V4).outcome is not Outcome.TOO_LONG
    assert respond(padded(1504), V4).outcome is Outcome.TOO_LONG


def test_unknown_attributes_that_must_be_understood_are_named() -> None:
    outcome, answer = respond(vector("rfc5769-request"), V4)  # PRIORITY and ICE-CONTROLLED

    assert outcome is Outcome.UNKNOWN_ATTRIBUTE
    assert answer is not None
    error = stun.decode(answer)
    code = error.get(ERROR_CODE)
    assert code is not None
    assert code.code == 420
    assert error.get(UNKNOWN_ATTRIBUTES) == (0x0024,)
    assert error.fingerprint


@pytest.mark.parametrize("name", ["rfc5769-request-long-term", "rfc8489-request-userhash"])
def test_vectors_without_unknown_attributes_are_answered(name: str) -> None:
    assert respond(vector(name), V4).outcome is Outcome.ANSWERED


@pytest.mark.parametrize("name", ["rfc5769-response-ipv4", "rfc5769-response-ipv6"])
def test_response_vectors_are_met_with_silence(name: str) -> None:
    assert respond(vector(name), V4) == Reply(Outcome.NOT_A_REQUEST)


attributes = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=20)), max_size=40).map(
    lambda found: b"".join(
        struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
        for kind, value in found
    )
)
sources = st.builds(
    TransportAddress,
    st.ip_addresses().filter(lambda host: getattr(host, "ipv4_mapped", None) is None),
    st.integers(0, 0xFFFF),
)


@given(attributes, sources, st.booleans())
def test_no_answer_is_worth_forging_a_source_for(
    body: bytes, source: TransportAddress, fingerprint: bool
) -> None:
    request = header(length=len(body)) + body
    if fingerprint:
        request = with_fingerprint(request)
    _, answer = respond(request, source)
    if answer is None:
        return
    message = stun.decode(answer)
    most = {4: 32, 6: 44}[ip_address(str(source.host)).version] + 8 * message.fingerprint
    if message.get(ERROR_CODE) is not None:
        most = max(most, len(request) * 3 // 2)
    assert len(answer) <= most
    assert len(answer) <= 1.6 * len(request) or len(answer) in (44, 52)
    assert message.get(XOR_MAPPED_ADDRESS) in (None, source)


@given(attributes, sources, st.sampled_from([0x0001, 0x0011, 0x0101, 0x0111, 0x0003]))
def test_two_servers_cannot_answer_each_other(
    body: bytes, source: TransportAddress, kind: int
) -> None:
    _, answer = respond(header(kind, len(body)) + body, source)
    if answer is not None:
        assert respond(answer, source) in (
            Reply(Outcome.NOT_A_REQUEST),
            Reply(Outcome.SOURCE_PORT),
        )


@given(st.binary(max_size=1600), sources)
def test_any_bytes_have_an_outcome(datagram: bytes, source: TransportAddress) -> None:
    outcome, answer = respond(datagram, source)
    assert (answer is None) == (outcome not in (Outcome.ANSWERED, Outcome.UNKNOWN_ATTRIBUTE))
