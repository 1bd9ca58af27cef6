from __future__ import annotations

import pytest

from rclib.runtime.net import parse_endpoint
from stund.nat_behaviour import Mapping, ServerReport, describe, mapping_of

LOCAL = "192.168.1.5:5000"


def report(server: str, *reflexive: str, error: str | None = None) -> ServerReport:
    return ServerReport(
        name="stun.example:3478",
        server=parse_endpoint(server),
        local=parse_endpoint(LOCAL),
        sent=3,
        rtts_ms=(2.0, 1.0, 4.0) if reflexive else (),
        reflexive=tuple(map(parse_endpoint, reflexive)),
        error=error,
    )


A, B, A2 = "203.0.113.10:3478", "203.0.113.11:3478", "203.0.113.10:3479"
SEEN, SEEN2 = "198.51.100.1:5000", "198.51.100.1:6000"


@pytest.mark.parametrize(
    ("reports", "mapping"),
    [
        ([], Mapping.UNKNOWN),
        ([report(A)], Mapping.UNKNOWN),
        ([report(A, SEEN)], Mapping.UNKNOWN),
        ([report(A, SEEN), report(B)], Mapping.UNKNOWN),
        ([report(A, LOCAL)], Mapping.NO_NAT),
        ([report(A, LOCAL), report(B, SEEN)], Mapping.ADDRESS_DEPENDENT),
        ([report(A, SEEN), report(B, SEEN)], Mapping.ENDPOINT_INDEPENDENT),
        ([report(A, SEEN), report(B, SEEN2)], Mapping.ADDRESS_DEPENDENT),
        ([report(A, SEEN), report(A2, SEEN2)], Mapping.PORT_DEPENDENT),
        ([report(A, SEEN), report(A2, SEEN)], Mapping.UNKNOWN),
        ([report(A, SEEN, SEEN2), report(B, SEEN)], Mapping.UNSTABLE),
    ],
)
def test_the_mapping_follows_from_what_the_servers_saw(
    reports: list[ServerReport], mapping: Mapping
) -> None:
    assert mapping_of(reports) is mapping


def test_an_answering_server_is_told_with_round_trip_times_and_address() -> None:
    text = "\n".join(describe([report(A, SEEN)]))
    assert "3 of 3 answered, RTT min 1.0 median 2.0 max 4.0 ms" in text
    assert f"{LOCAL} is seen there as {SEEN}" in text


def test_silence_says_what_to_look_at() -> None:
    text = "\n".join(describe([report(A)]))
    assert "no answer to 3 requests" in text
    assert "firewall drops UDP to port 3478" in text
    assert "relay on TCP 443" in text


def test_a_refusal_is_told_from_silence() -> None:
    assert "Connection refused" in "\n".join(describe([report(A, error="Connection refused")]))


@pytest.mark.parametrize("mapping", list(Mapping))
def test_every_behaviour_has_a_sentence(mapping: Mapping) -> None:
    examples = {
        Mapping.UNKNOWN: [report(A, SEEN)],
        Mapping.NO_NAT: [report(A, LOCAL)],
        Mapping.ENDPOINT_INDEPENDENT: [report(A, SEEN), report(B, SEEN)],
        Mapping.ADDRESS_DEPENDENT: [report(A, SEEN), report(B, SEEN2)],
        Mapping.PORT_DEPENDENT: [report(A, SEEN), report(A2, SEEN2)],
        Mapping.UNSTABLE: [report(A, SEEN, SEEN2)],
    }
    assert list(describe(examples[mapping]))[-1].startswith("NAT: ")
