"""What this gateway reaches of its servers, for whoever sets up the plant's firewall.

In the order in which one thing needs the other: the name of the control plane, TLS to it (which
also tells the other servers and the time of day), then their names, relays and STUN at once. Each
part ends by itself in time, and says what it saw; none takes another one down.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from rcd.reach_stun import ask_stun
from rclib.runtime.clock import wall_ms
from rclib.tunnel.book_resolver import BookResolver
from rclib.tunnel.name_lookup import family_of
from rclib.tunnel.uplink import is_out_of_date, why_unreachable
from rclib.wire.codec import decode_json
from rclib.wire.control_http import SERVERS_PATH, ServerList
from rclib.wire.errors import DecodeError
from rclib.wire.local import Check, CheckOutcome, CheckPart, CheckReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rclib.runtime.net import Endpoint
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import StunServer

HTTP_S: Final = 5.0
CLOCK_TOLERANCE_S: Final = 60.0
"""Sessions do not depend on it; certificates, and who reads the record, do."""
MAX_ADDRESSES: Final = 4
"""Of one STUN server."""
MAX_ANSWER_BYTES: Final = 32 * 1024
MAX_DETAIL: Final = 200
_PORTS: Final = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_CUT_OFF: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE})

_servers_decoder: Final = msgspec.json.Decoder(ServerList)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is to be reached."""

    host: str
    port: int


def place_of(url: str) -> Place:
    """Raises ValueError."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in _PORTS:
        raise ValueError(f"{url[:100]!r} is no server's address")
    return Place(parts.hostname, parts.port or _PORTS[parts.scheme])


@dataclass
class Findings:
    """One run of the check."""

    uplink: Uplink
    server: str
    """https://HOST[:PORT]"""
    listed: ServerList | None
    """What to try besides the control plane; None: it never said."""
    checks: list[Check] = field(default_factory=list)
    _addresses: dict[str, list[str]] = field(default_factory=dict)
    _dns_is_silent: bool = False

    def report(self) -> CheckReport:
        proxy = self._proxy()
        shown = f"{proxy.host}:{proxy.port}" if proxy else ""
        return CheckReport(self.server, wall_ms(), tuple(self.checks), shown)

    async def try_all(self) -> None:
        control, proxy = place_of(self.server), self._proxy()
        await self._names([(proxy or control).host])
        await self._control(control)
        stun = self.listed.stun if self.listed else ()
        relays = [place_of(url) for url in self.listed.relays] if self.listed else []
        behind_proxy = [] if proxy else [relay.host for relay in relays]
        await self._names([*behind_proxy, *(each.host for each in stun)])
        self.checks += await asyncio.gather(
            *(self._relay(each) for each in dict.fromkeys(relays)),
            *(self._stun(each) for each in stun),
        )

    async def lookup(self, name: str) -> list[str]:
        """For `BookResolver`: nobody is asked twice. Raises OSError."""
        if not self._addresses.get(name):
            raise OSError(f"no address of {name} is known")
        return self._addresses[name]

    # Names.

    async def _names(self, names: Sequence[str]) -> None:
        wanted = [name for name in dict.fromkeys(names) if name not in self._addresses]
        checks = await asyncio.gather(*(self._name(name) for name in wanted))
        self.checks += [check for check in checks if check is not None]

    async def _name(self, name: str) -> Check | None:
        """Ask the resolver; None: an address, or a resolver that was silent already."""
        book = self.uplink.names
        if book.is_address(name):
            self._addresses[name] = [name]
            return None
        found: list[str] = []
        outcome, detail = CheckOutcome.SKIPPED, ""
        if not self._dns_is_silent:
            try:
                found = await book.ask_resolver(name)
                outcome, detail = CheckOutcome.GOOD, ", ".join(found)
            except TimeoutError as exc:
                self._dns_is_silent = True
                outcome, detail = CheckOutcome.SILENT, str(exc)
            except OSError as exc:
                outcome, detail = _unresolved(exc), exc.strerror or str(exc)
        # On a day without DNS the rest can still be tried where the server was last.
        tries = book.order(name, found)
        # An IPv6 address where there is no IPv6 would only blur what the other one says.
        self._addresses[name] = [each for each in tries if _has_route(each)] or tries
        return _check(CheckPart.NAME, Place(name, 53), outcome, detail)

    # TLS.

    async def _control(self, place: Place) -> None:
        started_ms = wall_ms()
        outcome, detail, data = await self._get(self.server + SERVERS_PATH, place)
        offset_s = None
        if outcome is CheckOutcome.GOOD:
            try:
                said = decode_json(_servers_decoder, "answer", data)
                for url in said.relays:
                    place_of(url)
            except (DecodeError, ValueError) as exc:
                outcome, detail = CheckOutcome.STRANGE, str(exc)
            else:
                self.listed = said
                # Half the way there and back is not the clock's fault.
                offset_s = ((started_ms + wall_ms()) / 2 - said.now_ms) / 1000
        self.checks.append(_check(CheckPart.CONTROL, place, outcome, detail))
        self.checks.append(_clock(outcome, offset_s))

    async def _relay(self, place: Place) -> Check:
        host = f"[{place.host}]" if ":" in place.host else place.host
        outcome, detail, _ = await self._get(f"https://{host}:{place.port}/", place)
        if outcome is CheckOutcome.STRANGE:
            # A relay is no web server: that it speaks at all, under its own name, is all there is.
            outcome = CheckOutcome.GOOD
        return _check(CheckPart.RELAY, place, outcome, detail)

    async def _get(self, url: str, place: Place) -> tuple[CheckOutcome, str, bytes]:
        """Ask for a page, with the certificate checked as a session would."""
        if self.uplink.proxy is None and not self._addresses.get(place.host):
            return CheckOutcome.SKIPPED, "", b""
        try:
            async with (
                asyncio.timeout(HTTP_S),
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(resolver=BookResolver(self), force_close=True)
                ) as http,
                http.get(
                    url, ssl=self.uplink.tls, proxy=self.uplink.proxy, allow_redirects=False
                ) as response,
            ):
                data = await response.content.read(MAX_ANSWER_BYTES)
                if response.status != 200:  # noqa: PLR2004 - HTTP's "OK"
                    return CheckOutcome.STRANGE, f"HTTP status {response.status}", b""
                return CheckOutcome.GOOD, "", data
        except (TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as exc:
            return (*judge(exc), b"")

    # UDP.

    async def _stun(self, server: StunServer) -> Check:
        place = Place(server.host, server.port)
        addresses = self._addresses.get(server.host, [])[:MAX_ADDRESSES]
        if not addresses:
            return _check(CheckPart.STUN, place, CheckOutcome.SKIPPED)
        answers = await asyncio.gather(
            *(ask_stun(address, server.port) for address in addresses), return_exceptions=True
        )
        seen: list[Endpoint] = [each for each in answers if not isinstance(each, BaseException)]
        if seen:
            return _check(CheckPart.STUN, place, CheckOutcome.GOOD, str(seen[0]))
        failed = next(each for each in answers if isinstance(each, Exception))
        return _check(CheckPart.STUN, place, *judge(failed))

    def _proxy(self) -> Place | None:
        return None if self.uplink.proxy is None else place_of(self.uplink.proxy)


def judge(fault: Exception) -> tuple[CheckOutcome, str]:
    """What a failed attempt says about the way there."""
    certificate = fault.__cause__ if fault.__cause__ is not None else fault
    if is_out_of_date(fault):
        outcome = CheckOutcome.OUT_OF_DATE
    elif isinstance(certificate, ssl.SSLError) or isinstance(fault, aiohttp.ClientSSLError):
        outcome = CheckOutcome.FOREIGN
    elif isinstance(fault, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        outcome = CheckOutcome.PROXY
    elif isinstance(fault, TimeoutError):
        outcome = CheckOutcome.SILENT
    elif isinstance(fault, aiohttp.ServerDisconnectedError) or _errno(fault) in _CUT_OFF:
        outcome = CheckOutcome.REFUSED
    elif isinstance(fault, OSError):
        outcome = CheckOutcome.UNREACHABLE
    else:
        outcome = CheckOutcome.STRANGE
    return outcome, why_unreachable(fault)


def _errno(fault: Exception) -> int | None:
    return fault.errno if isinstance(fault, OSError) else None


def _unresolved(fault: OSError) -> CheckOutcome:
    """`fault` is the resolver's. EAI_AGAIN: it gave up on servers that did not answer."""
    return CheckOutcome.SILENT if fault.errno == socket.EAI_AGAIN else CheckOutcome.UNKNOWN


def _has_route(address: str) -> bool:
    """Whether the kernel knows a way there; a UDP socket finds out without sending anything."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, 9))
        except OSError:
            return False
    return True


def _clock(control: CheckOutcome, offset_s: float | None) -> Check:
    nowhere = Place("", 0)
    if control is CheckOutcome.OUT_OF_DATE:
        return _check(CheckPart.CLOCK, nowhere, CheckOutcome.OFF)
    if offset_s is None:
        return _check(CheckPart.CLOCK, nowhere, CheckOutcome.SKIPPED)
    is_good = abs(offset_s) <= CLOCK_TOLERANCE_S
    outcome = CheckOutcome.GOOD if is_good else CheckOutcome.OFF
    return Check(CheckPart.CLOCK, "", 0, outcome, offset_s=offset_s)


def _check(part: CheckPart, place: Place, outcome: CheckOutcome, detail: str = "") -> Check:
    return Check(part, place.host, place.port, outcome, detail[:MAX_DETAIL])
