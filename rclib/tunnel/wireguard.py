"""WireGuard interfaces, one per session, whoever moves the packets: the kernel or wireguard-go.

Linux only. All calls block: the kernel answers in a millisecond, wireguard-go starts in about 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rclib.runtime.secret import SecretBytes
from rclib.wire.ids import TunnelKey

if TYPE_CHECKING:
    from rclib.tunnel.gate_plan import IPNetwork


PULSE_S: Final = 25
"""For a moment the interval of an end that otherwise sends none: switching it on sends one."""


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """What an interface needs to know before it comes up."""

    private_key: SecretBytes
    peer_key: TunnelKey
    endpoint: tuple[str, int]
    allowed: tuple[IPNetwork, ...]
    """Addresses the peer may send from and is sent packets for (cryptokey routing)."""
    keepalive_s: int
    """0: only the peer keeps the path open, and begins handshakes."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What changes on an interface that is up; None: stays as it is."""

    peer_key: TunnelKey
    keepalive_s: int
    """As in TunnelSettings. Switched off and on again, WireGuard sends a keepalive at once."""
    listen_port: int | None = None
    endpoint: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """What went through one interface since it was created."""

    received_bytes: int
    sent_bytes: int
    handshake_age_s: float | None
    """None: no handshake yet."""
    endpoint: tuple[str, int] | None = None
    """Where the peer was last heard from, or where WireGuard was pointed since."""


class WireGuard(Protocol):
    """One way to have WireGuard. All methods raise GateRefused."""

    name: str
    """As `Opened.backend` spells it."""

    def begin(self, interface: str) -> None:
        """Do ahead what takes time: `create` of this interface, or `remove`, follows."""

    def create(self, interface: str, settings: TunnelSettings) -> None:
        """Make an interface that is configured and down; on failure nothing is left."""

    def bring_up(self, interface: str, mtu: int) -> int:
        """Return the UDP port, chosen by the system, on which the interface listens."""

    def counters(self, interface: str) -> Counters: ...

    def steer(self, interface: str, steering: Steering) -> None:
        """Change port or endpoint of a running tunnel; with an endpoint, send one keepalive."""

    def probe(self, interface: str, steering: Steering) -> None:
        """Send one keepalive; of `steering` only key and keepalive interval count."""

    def remove(self, interface: str) -> None:
        """Remove the interface; it need not exist."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One session's keys; the private half never leaves this process but to WireGuard."""

    private: SecretBytes
    public: TunnelKey


def make_key_pair() -> KeyPair:
    private = X25519PrivateKey.generate()
    return KeyPair(
        SecretBytes(private.private_bytes_raw()),
        TunnelKey(private.public_key().public_bytes_raw()),
    )
