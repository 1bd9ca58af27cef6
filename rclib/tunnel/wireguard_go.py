"""WireGuard without the kernel: one Debian `wireguard-go` per interface, spoken to by its socket.

The process dies with ours (PR_SET_PDEATHSIG), and its interface with it. The interface protocol
is described at https://www.wireguard.com/xplatform/.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.wireguard import PULSE_S, Counters
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from rclib.tunnel.gate_netlink import Netlink
    from rclib.tunnel.wireguard import Steering, TunnelSettings

SOCKET_DIRECTORY: Final = Path("/run/wireguard")
"""Compiled into wireguard-go."""

_START_S: Final = 5.0
_END_S: Final = 2.0
_ANSWER_S: Final = 2.0
_POLL_S: Final = 0.005
_MAX_ANSWER: Final = 64 * 1024
_TUN_DEVICE: Final = Path("/dev/net/tun")
# prctl(PR_SET_PDEATHSIG, SIGKILL), then the command. util-linux' setpriv does it too, but needs
# capset(2), which the gates' units withhold.
_DIE_WITH_PARENT: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class WireGuardGo:
    """By child processes; implements `rclib.tunnel.wireguard.WireGuard`."""

    name = "wireguard-go"

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._begun: set[str] = set()

    def begin(self, interface: str) -> None:
        """Start the process; its interface is down and knows nobody until `create`."""
        if self._netlink.links(interface):
            raise GateRefused(GateError.SYSTEM, f"the interface {interface} is there already")
        # One that was killed leaves its socket behind, which would answer nobody. Removing the
        # socket of a living one would end it, hence the question first.
        _socket_path(interface).unlink(missing_ok=True)
        self._processes[interface] = _start(interface)
        self._begun.add(interface)

    def create(self, interface: str, settings: TunnelSettings) -> None:
        if interface not in self._begun or self._processes[interface].poll() is not None:
            self.begin(interface)
        self._begun.discard(interface)
        try:
            self._await_socket(interface)
            _converse(interface, _configuration(settings))
        except BaseException:
            self.remove(interface)
            raise

    def bring_up(self, interface: str, mtu: int) -> int:
        self._netlink.set_up(interface, mtu)
        # wireguard-go learns from the kernel that its interface is up, and binds its port then.
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if port := int(_converse(interface, "get=1").get("listen_port", 0)):
                return port
            time.sleep(_POLL_S)
        raise GateRefused(
            GateError.SYSTEM, f"wireguard-go opened no UDP port for {interface} in {_START_S:g} s"
        )

    def counters(self, interface: str) -> Counters:
        answer = _converse(interface, "get=1")
        seconds = int(answer["last_handshake_time_sec"])
        nanoseconds = int(answer["last_handshake_time_nsec"])
        age_s = max(0.0, time.time() - seconds - nanoseconds / 1e9) if seconds else None
        return Counters(
            int(answer["rx_bytes"]),
            int(answer["tx_bytes"]),
            age_s,
            _endpoint_of(answer.get("endpoint", "")),
        )

    def steer(self, interface: str, steering: Steering) -> None:
        changes = []
        if steering.listen_port is not None:
            changes.append(f"listen_port={steering.listen_port}")
        if steering.endpoint is not None:
            peer = f"public_key={steering.peer_key.hex()}"
            changes += [peer, f"endpoint={_spelt(steering.endpoint)}", *_pulse(steering)]
        _converse(interface, "\n".join(["set=1", *changes]))

    def probe(self, interface: str, steering: Steering) -> None:
        peer = f"public_key={steering.peer_key.hex()}"
        _converse(interface, "\n".join(["set=1", peer, *_pulse(steering)]))

    def remove(self, interface: str) -> None:
        # The interface goes first and at once; its process notices and ends by itself.
        self._netlink.delete_link(interface)
        self._begun.discard(interface)
        process = self._processes.pop(interface, None)
        if process is not None:
            process.kill()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                raise GateRefused(
                    GateError.SYSTEM, f"wireguard-go (process {process.pid}) does not end"
                ) from None
        _socket_path(interface).unlink(missing_ok=True)

    def _await_socket(self, interface: str) -> None:
        process = self._processes[interface]
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise GateRefused(
                    GateError.SYSTEM,
                    f"wireguard-go ended with status {process.returncode} while it made "
                    f"{interface}; its own message stands in the gate's log",
                )
            try:
                _connect(interface).close()
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(_POLL_S)
            else:
                return
        raise GateRefused(
            GateError.SYSTEM, f"wireguard-go did not make {interface} within {_START_S:g} s"
        )


def missing_for_wireguard_go() -> str | None:
    """Say what keeps wireguard-go from running here, as a clause; None: nothing."""
    if shutil.which("wireguard-go") is None:
        return "the program wireguard-go is missing (apt install wireguard-go)"
    if not _TUN_DEVICE.exists():
        return f"{_TUN_DEVICE} is missing (modprobe tun)"
    return None


def _start(interface: str) -> subprocess.Popen[bytes]:
    missing = missing_for_wireguard_go()
    if missing is not None:
        raise GateRefused(GateError.NO_WIREGUARD, missing)
    return subprocess.Popen(
        [sys.executable, "-IS", "-c", _DIE_WITH_PARENT, "wireguard-go", "--foreground", interface],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Without the second one it advertises the kernel's WireGuard at every start.
        env={**os.environ, "LOG_LEVEL": "error", "WG_PROCESS_FOREGROUND": "1"},
    )


def _configuration(settings: TunnelSettings) -> str:
    host, port = settings.endpoint
    return "\n".join(
        [
            "set=1",
            f"private_key={settings.private_key.reveal().hex()}",
            "listen_port=0",
            "replace_peers=true",
            f"public_key={settings.peer_key.hex()}",
            f"endpoint={host}:{port}",
            f"persistent_keepalive_interval={settings.keepalive_s}",
            "replace_allowed_ips=true",
            *(f"allowed_ip={network}" for network in settings.allowed),
        ]
    )


def _pulse(steering: Steering) -> list[str]:
    """Switch keepalives off and on: each mention of the peer is carried out before the next."""
    peer = f"public_key={steering.peer_key.hex()}"
    lines = ["persistent_keepalive_interval=0", peer]
    lines.append(f"persistent_keepalive_interval={steering.keepalive_s or PULSE_S}")
    if not steering.keepalive_s:
        lines += [peer, "persistent_keepalive_interval=0"]
    return lines


def _spelt(endpoint: tuple[str, int]) -> str:
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _endpoint_of(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host else None


def _converse(interface: str, operation: str) -> dict[str, str]:
    """Carry out one operation; of repeated keys the last is returned (we have one peer)."""
    try:
        with _connect(interface) as sock:
            sock.sendall(f"{operation}\n\n".encode())
            answer = b""
            while not answer.endswith(b"\n\n"):
                part = sock.recv(_MAX_ANSWER)
                if not part or len(answer) > _MAX_ANSWER:
                    raise GateRefused(
                        GateError.SYSTEM, f"wireguard-go broke off its answer about {interface}"
                    )
                answer += part
    except OSError as exc:
        raise GateRefused(
            GateError.SYSTEM, f"wireguard-go does not answer about {interface}: {exc}"
        ) from None
    values = dict(line.split("=", 1) for line in answer.decode().splitlines() if "=" in line)
    if values.get("errno") != "0":
        raise GateRefused(
            GateError.SYSTEM,
            f"wireguard-go refuses the settings of {interface} (errno {values.get('errno')})",
        )
    return values


def _connect(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_ANSWER_S)
        sock.connect(str(_socket_path(interface)))
    except BaseException:
        sock.close()
        raise
    return sock


def _socket_path(interface: str) -> Path:
    return SOCKET_DIRECTORY / f"{interface}.sock"
