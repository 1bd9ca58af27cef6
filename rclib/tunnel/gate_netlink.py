"""Links, addresses, routes, connection tracking and the kernel's WireGuard, by netlink.

The only module of this package that knows pyroute2. All calls block, for a millisecond or so,
and raise GateRefused. Linux only.
"""

from __future__ import annotations

import base64
import errno
import ipaddress
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyroute2 import IPRoute, NFCTSocket, WireGuard
from pyroute2.netlink.core import CoreProtocol
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from rclib.tunnel.gate_addresses import LocalAddress, LocalRoute
from rclib.tunnel.gate_errors import GateRefused, no_privilege
from rclib.tunnel.gate_plan import IPV4, IPV6
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.runtime.secret import SecretBytes
    from rclib.tunnel.gate_plan import IPNetwork
    from rclib.wire.session import IPAddress

WIREGUARD_KIND: Final = "wireguard"

_FAMILIES: Final = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
_UNICAST: Final = 1  # rtm_type
_NO_DETECTION: Final = 2  # IFA_F_NODAD
_ABSENT: Final = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH})
# What `ip route add unreachable, prohibit, blackhole, throw` and no route at all answer.
_NO_ROUTE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EAGAIN}
)

# struct nlmsghdr and struct nlmsgerr, with room for the header of what was asked.
_ERROR: Final = struct.Struct("=IHHIIi16x")
_NLMSG_ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class PeerCounters:
    """One peer as the kernel's WireGuard counts."""

    received_bytes: int
    sent_bytes: int
    handshake_at: float
    """Wall clock, in seconds since 1970; 0: never."""
    endpoint: tuple[str, int] | None = None


class Netlink:
    """Opens a socket per call: nothing is kept that a fork or a crash could leave half read."""

    # What is there.

    def links(self, prefix: str) -> tuple[str, ...]:
        """Names of the interfaces that start like this."""
        with _told("listing the interfaces"), IPRoute() as ip:
            names = [link.get("ifname") for link in ip.get_links()]
        return tuple(name for name in names if name.startswith(prefix))

    def addresses(self) -> tuple[LocalAddress, ...]:
        with _told("listing the addresses"), IPRoute() as ip:
            return tuple(
                LocalAddress(
                    name,
                    ipaddress.ip_interface(
                        # Of a point-to-point address IFA_ADDRESS is the other end.
                        (each.get("IFA_LOCAL") or each.get("IFA_ADDRESS"), each["prefixlen"])
                    ),
                )
                for each in ip.get_addr()
                if (name := _name(each["index"])) is not None
            )

    def routes(self) -> tuple[LocalRoute, ...]:
        """Return where packets leave to, without default routes and what is this machine itself."""
        with _told("listing the routes"), IPRoute() as ip:
            routes = [
                (each.get("RTA_OIF"), each.get("RTA_DST"), each["dst_len"])
                for family in _FAMILIES.values()
                for each in ip.get_routes(family=family)
                if each["type"] == _UNICAST
            ]
        return tuple(
            LocalRoute(name, ipaddress.ip_network((destination, length)))
            for index, destination, length in routes
            if destination is not None and length > 0 and (name := _name(index)) is not None
        )

    def interface_towards(self, address: IPAddress) -> str | None:
        """Return the interface packets to `address` leave by; None: they do not leave."""
        with _told(f"looking up the route to {address}"), IPRoute() as ip:
            try:
                (route,) = ip.route("get", dst=str(address), family=_FAMILIES[address.version])
            except NetlinkError as exc:
                if exc.code in _NO_ROUTE:
                    return None
                raise
            return _name(route.get("RTA_OIF")) if route["type"] == _UNICAST else None

    # Interfaces.

    def set_up(self, interface: str, mtu: int) -> None:
        with _told(f"bringing {interface} up"), IPRoute() as ip:
            index = _index(ip, interface)
            ip.link("set", index=index, mtu=mtu)
            ip.link("set", index=index, state="up")

    def add_address(self, interface: str, local: IPAddress, peer: IPAddress) -> None:
        """Give a tunnel its own end of a link; the other end's route comes with it.

        Nobody else can have the address, and until IPv6 has asked around it is no route's source.
        """
        length, flags = local.max_prefixlen, _NO_DETECTION if local.version == IPV6 else 0
        with _told(f"giving {interface} the address {local}"), IPRoute() as ip:
            index = _index(ip, interface)
            ip.addr(
                "add",
                index=index,
                local=str(local),
                address=str(peer),
                prefixlen=length,
                flags=flags,
            )

    def add_route(self, interface: str, target: IPAddress, source: IPAddress) -> None:
        with _told(f"routing {target} into {interface}"), IPRoute() as ip:
            ip.route(
                "add",
                dst=f"{target}/{target.max_prefixlen}",
                oif=_index(ip, interface),
                prefsrc=str(source),
                family=_FAMILIES[target.version],
            )

    def delete_route(self, interface: str, target: IPAddress) -> None:
        """Take back what `add_route` did; it need not be there."""
        with _told(f"routing {target} elsewhere than into {interface}"), IPRoute() as ip:
            try:
                ip.route(
                    "del",
                    dst=f"{target}/{target.max_prefixlen}",
                    oif=_index(ip, interface),
                    family=_FAMILIES[target.version],
                )
            except NetlinkError as exc:
                if exc.code not in _ABSENT:
                    raise

    def delete_link(self, interface: str) -> None:
        """Remove an interface with its addresses and routes; it need not exist."""
        with _told(f"removing {interface}"), IPRoute() as ip:
            for index in ip.link_lookup(ifname=interface):
                try:
                    ip.link("del", index=index)
                except NetlinkError as exc:
                    if exc.code not in _ABSENT:
                        raise

    # Connection tracking.

    def forget_flows(self, source: IPAddress) -> None:
        """Remove the tracked connections `source` began, with their address translations."""
        with _told(f"forgetting the connections of {source}"):
            family = _FAMILIES[source.version]
            # The kernel sorts IPv4 out by itself; its test of IPv6 sources is the wrong way round.
            begun_by = NFCTAttrTuple(family, saddr=str(source)) if source.version == IPV4 else None
            with NFCTSocket(nfgen_family=family) as table:
                for entry in tuple(table.dump(tuple_orig=begun_by)):
                    original = NFCTAttrTuple.from_netlink(family, entry.get_attr("CTA_TUPLE_ORIG"))
                    if original.saddr != str(source):
                        continue  # kernels before 5.8 do not filter
                    try:
                        table.entry("del", tuple_orig=original)
                    except NetlinkError as exc:
                        if exc.code not in _ABSENT:
                            raise

    # The kernel's WireGuard.

    def add_wireguard(self, interface: str) -> None:
        """Create an interface that is down; GateError.NO_WIREGUARD where the kernel has none."""
        with _told(f"creating {interface}"), IPRoute() as ip:
            try:
                ip.link("add", ifname=interface, kind=WIREGUARD_KIND)
            except NetlinkError as exc:
                if exc.code == errno.EOPNOTSUPP:
                    raise GateRefused(
                        GateError.NO_WIREGUARD, "the kernel has no WireGuard"
                    ) from None
                raise

    def configure_wireguard(
        self,
        interface: str,
        *,
        private_key: SecretBytes,
        peer_key: bytes,
        endpoint: tuple[str, int],
        allowed: Iterable[IPNetwork],
        keepalive_s: int,
    ) -> None:
        peer = {
            "public_key": base64.b64encode(peer_key).decode(),
            "endpoint_addr": endpoint[0],
            "endpoint_port": endpoint[1],
            "persistent_keepalive": keepalive_s,
            "replace_allowed_ips": True,
            "allowed_ips": [str(network) for network in allowed],
        }
        key = base64.b64encode(private_key.reveal()).decode()
        with _told(f"configuring {interface}"), WireGuard() as wireguard:
            wireguard.set(interface, private_key=key, peer=peer)

    def steer_wireguard(
        self,
        interface: str,
        *,
        peer_key: bytes,
        keepalive_s: int | None = None,
        listen_port: int | None = None,
        endpoint: tuple[str, int] | None = None,
    ) -> None:
        """Change a peer that is there; None: stays as it is."""
        peer: dict[str, object] = {"public_key": base64.b64encode(peer_key).decode()}
        peer["update_only"] = True
        if keepalive_s is not None:
            peer["persistent_keepalive"] = keepalive_s
        if endpoint is not None:
            peer["endpoint_addr"], peer["endpoint_port"] = endpoint
        with _told(f"steering {interface}"), WireGuard() as wireguard:
            wireguard.set(interface, listen_port=listen_port, peer=peer)

    def wireguard_port(self, interface: str) -> int:
        """Return the UDP port the interface listens on; 0 while it is down."""
        with _told(f"reading {interface}"), WireGuard() as wireguard:
            port: int = next(iter(wireguard.info(interface))).get("WGDEVICE_A_LISTEN_PORT")
            return port

    def wireguard_peers(self, interface: str) -> dict[bytes, PeerCounters]:
        """Return all peers by public key."""
        with _told(f"reading {interface}"), WireGuard() as wireguard:
            return merge_peers(wireguard.info(interface))


def merge_peers(messages: Iterable[Any]) -> dict[bytes, PeerCounters]:
    """Join what the kernel says about one interface.

    It splits a long list of peers over several messages, and a peer with many addresses over two:
    its counters stand in the first part only.
    """
    peers: dict[bytes, PeerCounters] = {}
    for message in messages:
        for peer in message.get("WGDEVICE_A_PEERS") or ():
            key = base64.b64decode(peer.get("WGPEER_A_PUBLIC_KEY"))
            peers.setdefault(key, _counters(peer))
    return peers


class _told:  # noqa: N801 -- reads as a word at its uses
    """Turns what netlink reports into the refusal it means."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, exc: BaseException | None, _traceback: object) -> None:
        if isinstance(exc, NetlinkError):
            if exc.code in {errno.EPERM, errno.EACCES}:
                raise no_privilege(self._what) from None
            raise GateRefused(GateError.SYSTEM, f"{self._what}: {exc.args[-1]}") from exc
        if isinstance(exc, OSError):
            reason = os.strerror(exc.errno) if exc.errno else str(exc)
            raise GateRefused(GateError.SYSTEM, f"{self._what}: {reason}") from exc


def _name(index: int | None) -> str | None:
    """Return an interface's name; None: there is none, or no longer. A list of all takes longer."""
    try:
        return None if index is None else socket.if_indextoname(index)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            return None
        raise


def _index(ip: IPRoute, interface: str) -> int:
    for index in ip.link_lookup(ifname=interface):
        return int(index)
    raise NetlinkError(errno.ENODEV, f"there is no interface {interface}")


def _counters(peer: Any) -> PeerCounters:  # noqa: ANN401 -- pyroute2 has no types
    handshake = peer.get("WGPEER_A_LAST_HANDSHAKE_TIME") or {"tv_sec": 0, "tv_nsec": 0}
    endpoint = peer.get("WGPEER_A_ENDPOINT")
    return PeerCounters(
        peer.get("WGPEER_A_RX_BYTES") or 0,
        peer.get("WGPEER_A_TX_BYTES") or 0,
        handshake["tv_sec"] + handshake["tv_nsec"] / 1e9,
        (endpoint["addr"], endpoint["port"]) if endpoint else None,
    )


def _error_received(self: Any, exc: OSError) -> None:  # noqa: ANN401 -- pyroute2 has no types
    """Let a read that fails end the call that waits for it.

    pyroute2 0.9.7 puts the error where no request looks: after ENOBUFS, which means that the
    kernel dropped an answer, the caller would wait for ever, and the gate's only thread with it.
    """
    queues = self.enqueue.__self__.msg_queue
    code = -(exc.errno or errno.EIO)
    for sequence in tuple(queues.queues):
        answer = _ERROR.pack(_ERROR.size, _NLMSG_ERROR, 0, sequence, 0, code)
        queues.put_nowait(sequence, answer)


CoreProtocol.error_received = _error_received
