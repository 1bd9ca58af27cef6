"""ICE (RFC 8445) by aioice, on a port of its own; the only module that knows aioice.

What is added: addresses are offered as they are learned, all STUN servers are asked at once and
twice, addresses no peer can have are neither offered nor accepted nor answered, and strangers get
no answer at all. What is left out: data. A nominated pair is all that is wanted of it; then the
socket is closed and WireGuard takes its port.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import aioice
from aioice import ice, stun
from aioice.candidate import candidate_foundation as foundation_of
from aioice.candidate import candidate_priority as priority_of

from rclib.tunnel.endpoint_policy import read_endpoint, why_no_endpoint
from rclib.wire.path_signal import MAX_CANDIDATES, Candidate, CandidateKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger
    from rclib.tunnel.own_addresses import OwnAddresses
    from rclib.wire.control import StunServer

STUN_AGAIN_S: Final = 0.05
"""A lost request costs this instead of the half second after which STUN repeats it."""
STUN_LIMIT_S: Final = 3.0
MAX_ADDRESSES: Final = 6
MAX_DATAGRAM: Final = 1500

_COMPONENT: Final = 1
STRANGE_PACKET = "ice_strange_packet"


@dataclass(frozen=True, slots=True)
class Pair:
    """What ICE has found."""

    local_port: int
    local_address: str
    remote_address: str
    remote_port: int
    rtt_s: float | None


class IceFailedError(Exception):
    """No pair works; the text says why."""


class IceAgent:
    """One attempt of one end. Always close it."""

    def __init__(
        self,
        *,
        controlling: bool,
        own: OwnAddresses,
        on_candidates: Callable[[tuple[Candidate, ...], bool], None],
        log: Logger,
    ) -> None:
        self._connection = _Connection(controlling, own, log)
        self._own = own
        self._on_candidates = on_candidates
        self._log = log
        self._remote_ended = False
        self._reflexive: asyncio.Task[None] | None = None

    @property
    def credentials(self) -> tuple[str, str]:
        return self._connection.local_username, self._connection.local_password

    async def gather(self) -> tuple[Candidate, ...]:
        """Open a socket per own address; returns what may be offered at once."""
        await self._connection.gather_candidates()
        return tuple(
            _ours(candidate, CandidateKind.HOST)
            for candidate in self._connection.local_candidates
            if _is_offered(candidate.host)
        )[:MAX_CANDIDATES]

    def ask(self, servers: tuple[StunServer, ...]) -> None:
        """Ask all STUN servers from all sockets; what they say goes to `on_candidates`."""
        self._reflexive = asyncio.create_task(self._ask(servers), name="ice-stun")

    async def add_remote(self, candidates: tuple[Candidate, ...], *, is_last: bool) -> None:
        """Take the other end's addresses, as far as a peer can have them."""
        if self._remote_ended:
            return
        for candidate in candidates:
            try:
                address = read_endpoint(candidate.address)
            except ValueError as exc:
                self._log.info("ice_candidate_refused", reason=str(exc))
                continue
            if any(address in network for network in self._own.elsewhere):
                self._log.info("ice_candidate_refused", reason="it lies behind another interface")
                continue
            await self._connection.add_remote_candidate(_theirs(candidate))
        if is_last:
            self._remote_ended = True
            await self._connection.add_remote_candidate(None)

    async def connect(self, ufrag: str, password: str) -> Pair:
        """Check pairs until one is nominated; raises IceFailedError."""
        connection = self._connection
        connection.remote_username, connection.remote_password = ufrag, password
        try:
            await connection.connect()
        except ConnectionError as exc:
            raise IceFailedError(str(exc) or "no pair of addresses works") from None
        return connection.pair()

    async def close(self) -> None:
        """Idempotent; the ports are free afterwards."""
        if self._reflexive is not None:
            self._reflexive.cancel()
            await asyncio.gather(self._reflexive, return_exceptions=True)
        await self._connection.close()

    # Server-reflexive addresses.

    async def _ask(self, servers: tuple[StunServer, ...]) -> None:
        known = {(c.host, c.port) for c in self._connection.local_candidates}
        asked = [
            asyncio.create_task(self._ask_one(protocol, server.host, server.port))
            for server in servers
            for protocol in self._connection.protocols
        ]
        try:
            for answer in asyncio.as_completed(asked, timeout=STUN_LIMIT_S):
                try:
                    candidate = await answer
                except TimeoutError:
                    break
                if candidate is None or (candidate.host, candidate.port) in known:
                    continue
                known.add((candidate.host, candidate.port))
                if _is_offered(candidate.host):
                    ours = _ours(candidate, CandidateKind.SERVER_REFLEXIVE)
                    self._on_candidates((ours,), False)  # noqa: FBT003 - not the last
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        self._on_candidates((), True)  # noqa: FBT003 - the last

    async def _ask_one(self, protocol: _Protocol, host: str, port: int) -> aioice.Candidate | None:
        local = protocol.local_candidate
        version = ipaddress.ip_address(local.host).version
        try:
            addresses = await asyncio.get_running_loop().getaddrinfo(host, port)
        except OSError:
            return None
        servers = {str(a[4][0]) for a in addresses if _version(a[4][0]) == version}
        for server in ((each, port) for each in sorted(servers)[:1]):
            request = stun.Message(
                message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST
            )
            again = asyncio.get_running_loop().call_later(
                STUN_AGAIN_S, protocol.send_if_open, request, server
            )
            try:
                response, _ = await protocol.request(request, server)
                mapped = response.attributes["XOR-MAPPED-ADDRESS"]
            except (stun.TransactionError, KeyError):
                continue
            finally:
                again.cancel()
            return aioice.Candidate(
                foundation=foundation_of("srflx", "udp", local.host),
                component=_COMPONENT,
                transport="udp",
                priority=priority_of(_COMPONENT, "srflx"),
                host=mapped[0],
                port=mapped[1],
                type="srflx",
            )
        return None


class _Protocol(ice.StunProtocol):
    """A socket that survives whatever is sent to it."""

    receiver: _Connection

    def __init__(self, receiver: _Connection) -> None:
        super().__init__(receiver)
        self.under_way: dict[tuple[str, int], stun.Message] = {}
        """Checks that nobody has answered yet."""

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        self.under_way[addr] = request
        try:
            return await super().request(request, addr, integrity_key, retransmissions)
        finally:
            self.under_way.pop(addr, None)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if len(data) > MAX_DATAGRAM or why_no_endpoint(ipaddress.ip_address(addr[0])) is not None:
            return
        try:
            super().datagram_received(data, addr)
        except Exception as exc:  # noqa: BLE001 - aioice's parser lets several kinds escape
            self.receiver.strange(exc)

    def send_if_open(self, message: stun.Message, addr: tuple[str, int]) -> None:
        if not self.transport.is_closing():
            self.send_stun(message, addr)


class _Connection(aioice.Connection):
    """aioice with our addresses, our silence and without data."""

    def __init__(self, controlling: bool, own: OwnAddresses, log: Logger) -> None:  # noqa: FBT001
        super().__init__(ice_controlling=controlling)
        self._own = own
        self._log = log
        self._said_strange = False
        self._checks: dict[int, float] = {}

    @property
    def protocols(self) -> tuple[_Protocol, ...]:
        return tuple(cast("list[_Protocol]", self._protocols))

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],  # noqa: ARG002 - aioice lists all interfaces; we only the own
        timeout: int = 5,  # noqa: ARG002, ASYNC109 - STUN servers are asked apart
    ) -> list[aioice.Candidate]:
        loop = asyncio.get_running_loop()
        found = []
        for address in self._own.addresses[:MAX_ADDRESSES]:
            if address.is_loopback or address.is_link_local or address.is_multicast:
                continue
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: _Protocol(self), local_addr=(str(address), 0)
                )
            except OSError as exc:
                self._log.info("ice_address_unusable", reason=exc.strerror)
                continue
            protocol.local_candidate = aioice.Candidate(
                foundation=foundation_of("host", "udp", str(address)),
                component=component,
                transport="udp",
                priority=priority_of(component, "host"),
                host=str(address),
                port=transport.get_extra_info("sockname")[1],
                type="host",
            )
            self._protocols.append(protocol)
            found.append(protocol.local_candidate)
        return found

    def request_received(
        self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        address = ipaddress.ip_address(addr[0])
        if not any(address in network for network in self._own.elsewhere):
            super().request_received(message, addr, protocol)

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        """The way in is open: a check of ours that the other end's NAT dropped is sent again.

        RFC 8445 section 7.3.1.4; aioice would wait for half a second.
        """
        unanswered = cast("_Protocol", protocol).under_way.get(addr)
        super().check_incoming(message, addr, protocol)
        if unanswered is not None:
            cast("_Protocol", protocol).send_if_open(unanswered, addr)

    def respond_error(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        protocol: ice.StunProtocol,
        error_code: tuple[int, str],
    ) -> None:
        # Role conflicts are settled; who does not know the password hears nothing.
        if error_code[0] not in (400, 401):
            super().respond_error(request, addr, protocol, error_code)

    async def check_start(self, pair: ice.CandidatePair) -> None:
        started = asyncio.get_running_loop().time()
        await super().check_start(pair)
        took_s = asyncio.get_running_loop().time() - started
        # The controlling end asks twice: does it work, and shall we take it.
        self._checks[id(pair)] = took_s / 2 if self.ice_controlling else took_s

    def data_received(self, data: bytes, component: int) -> None:
        """Drop it: WireGuard of an end that has moved already; it will say it again."""

    def strange(self, exc: Exception) -> None:
        if not self._said_strange:
            self._said_strange = True
            self._log.info(STRANGE_PACKET, kind=type(exc).__name__)

    def pair(self) -> Pair:
        nominated = self._nominated[_COMPONENT]
        remote = nominated.remote_addr
        local = nominated.local_candidate
        return Pair(local.port, local.host, remote[0], remote[1], self._checks.get(id(nominated)))


def _version(address: str | int) -> int:
    return ipaddress.ip_address(address).version


def _is_offered(host: str) -> bool:
    return why_no_endpoint(ipaddress.ip_address(host)) is None


def _ours(candidate: aioice.Candidate, kind: CandidateKind) -> Candidate:
    return Candidate(kind, candidate.host, candidate.port, candidate.priority)


def _theirs(candidate: Candidate) -> aioice.Candidate:
    return aioice.Candidate(
        foundation=foundation_of(candidate.kind.value, "udp", candidate.address),
        component=_COMPONENT,
        transport="udp",
        priority=candidate.priority,
        host=candidate.address,
        port=candidate.port,
        type=candidate.kind.value,
    )
