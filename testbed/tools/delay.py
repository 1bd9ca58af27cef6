"""Delays all packets between sites, in the router between them: a TUN device and a queue.

Arguments: milliseconds each way, then the interfaces whose packets are delayed. Stands in for
netem, which not every kernel has. Meant for a few thousand packets a second.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import subprocess
import sys
from collections import deque

from testbed.tools.line import say

DEVICE = "delay0"
TABLE = "100"
MAX_PACKET = 65536

# Linux names that the standard library does not have.
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001


def open_tun() -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH14x", DEVICE.encode(), _IFF_TUN_NO_PI))
    return tun


def lead_through(interfaces: list[str]) -> None:
    commands = [
        f"ip link set {DEVICE} up",
        f"ip route add default dev {DEVICE} table {TABLE}",
        *(f"ip rule add iif {interface} lookup {TABLE}" for interface in interfaces),
    ]
    subprocess.run(["sh", "-ec", "\n".join(commands)], check=True)


class Line:
    """Packets under way, in their order."""

    def __init__(self, tun: int, delay_s: float) -> None:
        self._tun = tun
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[float, bytes]] = deque()

    def enter(self) -> None:
        due = self._loop.time() + self._delay_s
        was_empty = not self._under_way
        while True:
            try:
                self._under_way.append((due, os.read(self._tun, MAX_PACKET)))
            except BlockingIOError:
                break
        if was_empty and self._under_way:
            self._loop.call_at(due, self._leave)

    def _leave(self) -> None:
        while self._under_way and self._under_way[0][0] <= self._loop.time():
            os.write(self._tun, self._under_way.popleft()[1])
        if self._under_way:
            self._loop.call_at(self._under_way[0][0], self._leave)


async def main() -> None:
    delay_s, interfaces = float(sys.argv[1]) / 1000, sys.argv[2:]
    tun = open_tun()
    lead_through(interfaces)
    asyncio.get_running_loop().add_reader(tun, Line(tun, delay_s).enter)
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
