"""What the answers of STUN servers say about the way to them. Pure.

The terms are those of RFC 4787 §4.1; the sentences are for people who stand in front of a
plant's firewall.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rclib.runtime.net import Endpoint


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What one server answered to a row of probes."""

    name: str
    server: Endpoint
    local: Endpoint
    """This machine's own end, which is the same port towards every server."""
    sent: int
    rtts_ms: tuple[float, ...]
    reflexive: tuple[Endpoint, ...]
    """Each distinct address the server saw, in the order of the answers."""
    error: str | None = None
    """What the operating system reported last, such as an ICMP rejection."""


class Mapping(StrEnum):
    """Which public address a NAT gives one local port, towards different servers."""

    UNKNOWN = "unknown"  # too few answers
    NO_NAT = "no_nat"
    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ADDRESS_DEPENDENT = "address_dependent"
    PORT_DEPENDENT = "port_dependent"
    UNSTABLE = "unstable"  # differs even between answers of one server


def mapping_of(reports: Sequence[ServerReport]) -> Mapping:
    """Judge the NAT from what servers of one address family saw."""
    answered = [report for report in reports if report.reflexive]
    if any(len(report.reflexive) > 1 for report in answered):
        return Mapping.UNSTABLE
    if answered and all(report.reflexive == (report.local,) for report in answered):
        return Mapping.NO_NAT
    places = {report.server for report in answered}
    if len(places) < 2:  # noqa: PLR2004 - two servers make a comparison
        return Mapping.UNKNOWN
    several_hosts = len({place.host for place in places}) > 1
    if len({report.reflexive for report in answered}) > 1:
        return Mapping.ADDRESS_DEPENDENT if several_hosts else Mapping.PORT_DEPENDENT
    return Mapping.ENDPOINT_INDEPENDENT if several_hosts else Mapping.UNKNOWN


def describe(reports: Sequence[ServerReport]) -> Iterator[str]:
    """Tell what was seen, line by line, and what it means."""
    for report in reports:
        yield from _describe_server(report)
    if any(report.reflexive for report in reports):
        yield f"NAT: {_MEANING[mapping_of(reports)]}"
    else:
        yield (
            "Result: no UDP answer at all. Remote access still works through the relay on TCP "
            "443; for direct connections the firewall has to let UDP out to the servers above "
            "and their answers back in."
        )


def _describe_server(report: ServerReport) -> Iterator[str]:
    address = str(report.server)
    yield f"{report.name} ({address})" if report.name != address else address
    if not report.rtts_ms:
        yield f"  no answer to {report.sent} requests from {report.local}"
        yield f"  {_why_silent(report)}"
        return
    yield (
        f"  {len(report.rtts_ms)} of {report.sent} answered, RTT min {min(report.rtts_ms):.1f} "
        f"median {median(report.rtts_ms):.1f} max {max(report.rtts_ms):.1f} ms"
    )
    seen = ", ".join(map(str, report.reflexive))
    yield f"  {report.local} is seen there as {seen}"


def _why_silent(report: ServerReport) -> str:
    if report.error is not None:
        return f"the system reports: {report.error}; something on the way refuses instead of losing"
    return (
        f"nothing came back: a firewall drops UDP to port {report.server.port} or the answers to "
        "it, the server is down, or it holds this address back for asking too often"
    )


_MEANING = {
    Mapping.UNKNOWN: (
        "there is one, and what it does towards different servers is not known; "
        "name a second server on another address to find out."
    ),
    Mapping.NO_NAT: "none; the servers see this machine's own address.",
    Mapping.ENDPOINT_INDEPENDENT: (
        "endpoint-independent mapping: every server sees the same address and port. "
        "Direct connections are likely to work."
    ),
    Mapping.ADDRESS_DEPENDENT: (
        "address-dependent mapping (often called symmetric): every server sees another port or "
        "address. A direct connection works only if the other side's NAT is easier; otherwise "
        "sessions stay on the relay."
    ),
    Mapping.PORT_DEPENDENT: (
        "address-and-port-dependent mapping (often called symmetric): the same host sees another "
        "port for each of its ports. A direct connection works only if the other side's NAT is "
        "easier; otherwise sessions stay on the relay."
    ),
    Mapping.UNSTABLE: (
        "the public address changed from one answer to the next: several uplinks or a pool of "
        "addresses take turns. Sessions stay on the relay; pin UDP to one uplink for more."
    ),
}
