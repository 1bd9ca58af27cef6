"""`stund-probe HOST:PORT [HOST2:PORT2]`: what STUN servers see of this machine.

Asks each server a few times from one local port, so that two servers show what the NAT on the
way makes of it.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import struct
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from rclib.runtime.net import MAX_PORT, Endpoint, endpoint_of
from rclib.wire import stun
from rclib.wire.errors import DecodeError
from rclib.wire.stun import Message, MessageClass, Method
from rclib.wire.stun_attributes import XOR_MAPPED_ADDRESS
from stund.nat_behaviour import ServerReport, describe, mapping_of

EXIT_ANSWERED: Final = 0
EXIT_SILENT: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

MAX_ANSWER_BYTES: Final = 1500
MAX_WAIT_S: Final = 60.0

# Linux: keep the ICMP errors of a socket that is not connected, with whom each concerns.
_RECVERR: Final = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (41, 25)}
_ERROR_NUMBER: Final = struct.Struct("=I")  # begins struct sock_extended_err
_ANCILLARY_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one server that was named."""

    name: str
    family: socket.AddressFamily
    server: Endpoint


@dataclass(slots=True)
class _Exchange:
    """What came of the probes to one server so far."""

    rtts_ms: list[float] = field(default_factory=list)
    reflexive: dict[Endpoint, None] = field(default_factory=dict)
    error: str | None = None


def main(argv: list[str] | None = None) -> int:
    """Run the probe from the command line and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        named = [target for name in arguments.server for target in resolve(name)]
    except ValueError as mistake:
        sys.stderr.write(f"stund-probe: {mistake}\n")
        return EXIT_USAGE
    targets = list({target.server: target for target in named}.values())  # each address once
    try:
        return _run(targets, arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(targets: list[Target], arguments: argparse.Namespace) -> int:
    families = sorted({target.family for target in targets})
    everything: list[ServerReport] = []
    for family in families:
        reports = probe(
            [target for target in targets if target.family == family],
            count=arguments.count,
            timeout_s=arguments.timeout,
            interval_s=arguments.interval,
        )
        everything += reports
        if not arguments.json:
            sys.stdout.write("\n".join(describe(reports)) + "\n")
    if arguments.json:
        sys.stdout.write(_as_json(everything) + "\n")
    return EXIT_ANSWERED if all(report.rtts_ms for report in everything) else EXIT_SILENT


def resolve(name: str) -> list[Target]:
    """Find every address behind "host", "host:port" or "[v6]:port"; raises ValueError."""
    host, port = _split(name)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ValueError(f"{name}: cannot find {host}: {error.strerror}") from None
    return [Target(name, family, endpoint_of(address)) for family, _, _, _, address in found]


def probe(
    targets: list[Target], *, count: int, timeout_s: float, interval_s: float
) -> list[ServerReport]:
    """Send `count` requests to each target, all of one family, from one local port."""
    with _Prober(targets[0].family, timeout_s) as prober:
        for turn in range(count):
            if turn:
                time.sleep(interval_s)
            for target in targets:
                prober.ask(target.server)
        return [
            ServerReport(
                name=target.name,
                server=target.server,
                local=_local_end(target, prober.port),
                sent=count,
                rtts_ms=tuple(prober.exchanges[target.server].rtts_ms),
                reflexive=tuple(prober.exchanges[target.server].reflexive),
                error=prober.exchanges[target.server].error,
            )
            for target in targets
        ]


class _Prober:
    """One local port and what every server answered to it."""

    def __init__(self, family: socket.AddressFamily, timeout_s: float) -> None:
        self.exchanges: defaultdict[Endpoint, _Exchange] = defaultdict(_Exchange)
        self._timeout_s = timeout_s
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        with suppress(OSError):  # not Linux: a refusal looks like silence
            self._sock.setsockopt(*_RECVERR[family], 1)
        self._sock.bind(("", 0))
        self.port: int = self._sock.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def ask(self, server: Endpoint) -> None:
        """Send one request and wait for its answer; a late answer to an earlier one is not it."""
        exchange = self.exchanges[server]
        transaction_id = secrets.token_bytes(stun.TRANSACTION_ID_BYTES)
        request = stun.encode(Message(MessageClass.REQUEST, Method.BINDING, transaction_id))
        self._take_errors()  # of other servers: they would fail the send
        sent_at = time.perf_counter()
        deadline = sent_at + self._timeout_s
        exchange.error = None
        try:
            self._sock.sendto(request, server.sockaddr)
        except OSError as error:
            exchange.error = error.strerror
        while exchange.error is None and (left_s := deadline - time.perf_counter()) > 0:
            self._sock.settimeout(left_s)
            try:
                datagram, source = self._sock.recvfrom(MAX_ANSWER_BYTES)
            except TimeoutError:
                return
            except OSError:
                self._take_errors()
                continue
            rtt_ms = (time.perf_counter() - sent_at) * 1000
            reflexive = _reflexive(datagram, transaction_id)
            if reflexive is not None and endpoint_of(source) == server:
                exchange.rtts_ms.append(rtt_ms)
                exchange.reflexive[reflexive] = None
                return

    def _take_errors(self) -> None:
        """Put each queued ICMP error down to the server it concerns."""
        if not hasattr(socket, "MSG_ERRQUEUE"):  # not Linux
            return
        self._sock.settimeout(0)  # with a timeout Python would wait for a queue that is empty
        with suppress(BlockingIOError):  # the queue is empty
            while True:
                _, ancillary, _, concerned = self._sock.recvmsg(
                    0, _ANCILLARY_BYTES, socket.MSG_ERRQUEUE
                )
                for _, _, data in ancillary:
                    (number,) = _ERROR_NUMBER.unpack_from(data)
                    self.exchanges[endpoint_of(concerned)].error = os.strerror(number)


def _reflexive(datagram: bytes, transaction_id: bytes) -> Endpoint | None:
    try:
        answer = stun.decode(datagram)
    except DecodeError:
        return None
    if answer.message_class is not MessageClass.SUCCESS or answer.transaction_id != transaction_id:
        return None
    mapped = answer.get(XOR_MAPPED_ADDRESS)
    return Endpoint(mapped.host, mapped.port) if mapped else None


def _local_end(target: Target, port: int) -> Endpoint:
    """Ask the routing table which address this machine uses towards a server."""
    with socket.socket(target.family, socket.SOCK_DGRAM) as sock:
        with suppress(OSError):  # no route: the unspecified address says so
            sock.connect(target.server.sockaddr)
        return Endpoint(endpoint_of(sock.getsockname() or ("::", 0)).host, port)


def _split(name: str) -> tuple[str, int]:
    host, colon, port = name.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = name, str(stun.DEFAULT_PORT)
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
        raise ValueError(f"{name}: {port!r} is no port; write HOST:PORT or [IPV6]:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _as_json(reports: list[ServerReport]) -> str:
    families = sorted({report.server.host.version for report in reports})
    document = {
        "servers": [
            {
                "name": report.name,
                "server": str(report.server),
                "local": str(report.local),
                "sent": report.sent,
                "rtts_ms": [round(rtt, 3) for rtt in report.rtts_ms],
                "reflexive": [str(each) for each in report.reflexive],
                "error": report.error,
            }
            for report in reports
        ],
        "mapping": {
            f"ipv{family}": mapping_of([r for r in reports if r.server.host.version == family])
            for family in families
        },
    }
    return msgspec.json.encode(document).decode()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stund-probe", description=__doc__)
    parser.add_argument(
        "server", nargs="+", metavar="HOST:PORT", help="a STUN server; the port defaults to 3478"
    )
    parser.add_argument("-n", "--count", type=_positive, default=5, help="requests per server")
    parser.add_argument(
        "--timeout", type=_seconds, default=1.0, metavar="S", help="seconds to wait for an answer"
    )
    parser.add_argument(
        "--interval", type=_seconds, default=0.2, metavar="S", help="seconds between rounds"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= MAX_WAIT_S:
        raise argparse.ArgumentTypeError(f"more than 0 and at most {MAX_WAIT_S:g} seconds")
    return number


if __name__ == "__main__":
    sys.exit(main())
