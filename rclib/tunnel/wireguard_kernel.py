"""WireGuard in the kernel: the interface outlives its maker, so somebody has to remove it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.wireguard import PULSE_S, Counters
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from rclib.tunnel.gate_netlink import Netlink
    from rclib.tunnel.wireguard import Steering, TunnelSettings


class KernelWireGuard:
    """By netlink; implements `rclib.tunnel.wireguard.WireGuard`."""

    name = "kernel"

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink

    def works(self, probe: str) -> bool:
        """Make an interface to see; that also loads the module where it is not yet loaded."""
        try:
            self._netlink.add_wireguard(probe)
        except GateRefused as exc:
            if exc.error is GateError.NO_WIREGUARD:
                return False
            raise
        self._netlink.delete_link(probe)
        return True

    def begin(self, interface: str) -> None:
        """Nothing of it takes time."""

    def create(self, interface: str, settings: TunnelSettings) -> None:
        self._netlink.add_wireguard(interface)
        try:
            self._netlink.configure_wireguard(
                interface,
                private_key=settings.private_key,
                peer_key=settings.peer_key,
                endpoint=settings.endpoint,
                allowed=settings.allowed,
                keepalive_s=settings.keepalive_s,
            )
        except BaseException:
            self._netlink.delete_link(interface)
            raise

    def bring_up(self, interface: str, mtu: int) -> int:
        self._netlink.set_up(interface, mtu)
        return self._netlink.wireguard_port(interface)

    def counters(self, interface: str) -> Counters:
        peers = self._netlink.wireguard_peers(interface)
        if len(peers) != 1:
            raise GateRefused(
                GateError.SYSTEM, f"{interface} has {len(peers)} peers; somebody changed it"
            )
        (peer,) = peers.values()
        # The kernel stamps handshakes with the wall clock.
        age_s = max(0.0, time.time() - peer.handshake_at) if peer.handshake_at else None
        return Counters(peer.received_bytes, peer.sent_bytes, age_s, peer.endpoint)

    def steer(self, interface: str, steering: Steering) -> None:
        # Sending is switched off together with the change, so that switching it on afterwards
        # sends the keepalive from the new port to the new endpoint.
        self._netlink.steer_wireguard(
            interface,
            peer_key=steering.peer_key,
            keepalive_s=0 if steering.endpoint else None,
            listen_port=steering.listen_port,
            endpoint=steering.endpoint,
        )
        if steering.endpoint:
            self._keepalives_on(interface, steering)

    def probe(self, interface: str, steering: Steering) -> None:
        self._netlink.steer_wireguard(interface, peer_key=steering.peer_key, keepalive_s=0)
        self._keepalives_on(interface, steering)

    def _keepalives_on(self, interface: str, steering: Steering) -> None:
        intervals = (steering.keepalive_s,) if steering.keepalive_s else (PULSE_S, 0)
        for keepalive_s in intervals:
            self._netlink.steer_wireguard(
                interface, peer_key=steering.peer_key, keepalive_s=keepalive_s
            )

    def remove(self, interface: str) -> None:
        self._netlink.delete_link(interface)
