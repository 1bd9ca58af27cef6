"""How soon the gateway is closed, what leaks meanwhile, and what keeping it open costs.

    make bench-gate [ROUNDS=20]

A real plant, cloud and technician in network namespaces; a UDP and a TCP stream to the PLC run at
two hundred messages a second while each trigger is pulled, and witnesses on the PLC's wire and in
the technician's tunnel note each packet that comes in. "Closed" is the time from the trigger (where
a clock is the trigger: from its time) to the last packet of the streams, either way; a packet that
was on its way is no leak within the first 100 ms.
With the lease, the control plane is frozen. A technician who is gone sends nothing: that is T1's.
The renewal is measured at the gate's own socket: wall and CPU time, nft's included.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.measure import report, spread
from rcd.config import RcdConfig
from rclib.tunnel.gate_client import GateClient
from rclib.wire.gate import Allow, Open
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.local import Status, decode_response
from rclib.wire.session import MAX_TARGETS, Protocol
from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.story import PLC, Story
from testbed.tools.plc import ECHO_PORT
from testbed.waiting import until

LOCAL_MS: Final = 2000
REMOTE_MS: Final = 5000
RENEWAL_MS: Final = 50
UNDER_WAY_MS: Final = 100
QUIET_MS: Final = 1000
EVERY_S: Final = 0.005
WINDOW_S: Final = 12
LEASE_S: Final = 6
ELEMENTS: Final = (1, 100, 1000)
RENEWALS: Final = 20
ASK_RCD: Final = """
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
link.sendall(b'{"type":"get_status"}\\n')
sys.stdout.write(link.makefile().readline())
"""


@dataclass(frozen=True)
class Closing:
    """One pull of a trigger."""

    closed_ms: float
    leaked: int
    """Packets that came through later than UNDER_WAY_MS after the trigger."""


@dataclass(frozen=True)
class Renewal:
    """One renewal of all elements, with what it cost the gate and its nft."""

    wall_ms: float
    cpu_ms: float


Trigger = Callable[[Story], float | None]
"""Pulls it, and returns when it was due, in ms since the epoch, unless that was at once."""


def off(story: Story) -> None:
    story.ams.submit("/access", mode="off")


def kill(story: Story) -> None:
    story.ams.submit("/end", session=story.session)


def rcd_killed(story: Story) -> None:
    story.suite.processes["gateway:rcd"].kill()
    story.suite.start_rcd()


def lease(story: Story) -> float:
    """Freeze the control plane, and see the lease run out on the gateway's clock."""
    controld = story.suite.processes["cloud:controld"]
    controld.send_signal(signal.SIGSTOP)
    ends_ms = now_ms()
    # A renewal may have been under way; what is read last counts.
    while (left_s := lease_remaining_s(story)) is not None:
        ends_ms = now_ms() + left_s * 1000
        time.sleep(0.05)
    controld.send_signal(signal.SIGCONT)
    return ends_ms


def window(story: Story) -> float:
    ends_ms = story.session_state()["window_until_ms"]
    until(lambda: now_ms() > ends_ms, 2 * WINDOW_S, "the end of the window")
    return float(ends_ms)


def administrator(story: Story) -> None:
    story.admin.post(f"/api/v1/sessions/{story.session}/end")


def owner(story: Story) -> None:
    story.tina.post(f"/api/v1/sessions/{story.session}/end")


def user(story: Story) -> None:
    story.admin.post(f"/api/v1/users/{story.user}/disable")


def device(story: Story) -> None:
    story.admin.delete(f"/api/v1/gateways/{story.gateway}/devices/{story.device}")
    story.device = ""


TRIGGERS: Final[dict[str, tuple[Trigger, int]]] = {
    "plant_off": (off, LOCAL_MS),
    "plant_kill": (kill, LOCAL_MS),
    "rcd_killed": (rcd_killed, LOCAL_MS),
    "lease_end": (lease, LOCAL_MS),
    "window_end": (window, LOCAL_MS),
    "administrator": (administrator, REMOTE_MS),
    "owner": (owner, REMOTE_MS),
    "user_disabled": (user, REMOTE_MS),
    "device_removed": (device, REMOTE_MS),
}


def now_ms() -> float:
    return time.time() * 1000


def lease_remaining_s(story: Story) -> float | None:
    """Ask rcd, by the socket the plant's page uses; None: no session is open."""
    asked = story.bed.host("gateway").run(
        [sys.executable, "-c", ASK_RCD, RcdConfig().socket], check=True
    )
    status = decode_response(asked.stdout.encode())
    assert isinstance(status, Status)
    return status.sessions[0].lease_remaining_s if status.sessions else None


def close_once(story: Story, name: str, trigger: Trigger) -> Closing:
    story.turn_on()
    terms = {"window_until_ms": int(now_ms()) + WINDOW_S * 1000} if trigger is window else {}
    story.prepare(("tcp", ECHO_PORT), ("udp", ECHO_PORT), **terms)
    story.start()
    story.ams.get("/")
    technician = story.bed.host("technician")
    tunnel = json.loads(story.suite.client_status())["interface"]
    ends = ((story.bed.host("plc"), "eth0"), (technician, tunnel))
    witnesses = [host.tool("arrivals", wire, str(ECHO_PORT)) for host, wire in ends]
    arguments = (PLC, str(ECHO_PORT), str(EVERY_S))
    streams = [technician.tool("stream", kind, *arguments) for kind in ("tcp", "udp")]
    for each in streams:
        each.wait_message("answer")
    began = now_ms()
    began = trigger(story) or began

    def after() -> list[float]:
        packets = [m for each in witnesses for m in each.messages() if m["event"] == "packet"]
        # What carries no data may be the gateway's own refusal of a machine that asks again.
        times = [m["at_ms"] - began for m in packets if m["way"] == "in" and m["data"]]
        return [at for at in times if at >= 0]

    until(lambda: now_ms() - began - max(after(), default=0) > QUIET_MS, 20, "silence")
    found = after()
    for each in (*streams, *witnesses):
        each.stop()
    story.turn_off()
    story.client.stop()
    if trigger is user:
        # The next technician is somebody else, at the same computer.
        shutil.rmtree(story.bed.directory / "technician-rcc")
        story.enrol_technician(name)
    return Closing(max(found, default=0.0), sum(at > UNDER_WAY_MS for at in found))


def closings(rounds: int) -> dict[str, list[Closing]]:
    found: dict[str, list[Closing]] = {name: [] for name in TRIGGERS}
    with Testbed.build() as bed:
        story = Story(bed)
        story.commission(controld=f"[times]\nlease_s = {LEASE_S}\n")
        for number in range(rounds):
            for name, (trigger, _) in TRIGGERS.items():
                closing = close_once(story, f"tina{number}", trigger)
                found[name].append(closing)
                print(f"round {number + 1} of {rounds}, {name}: {closing}", file=sys.stderr)
    return found


def request(number: int, elements: int) -> Open:
    """One session of `elements` ports, spread over machines."""
    allow = tuple(
        Allow(f"192.168.1.{100 + each % 100}", Protocol.TCP, 1 + each) for each in range(elements)
    )
    key = TunnelKey(os.urandom(32))
    local, peer = f"100.64.{number}.1", f"100.64.{number}.2"
    session = SessionId(f"ses_{chr(97 + number) * 16}")
    return Open(session, key, local, peer, 9, allow, 1280, 0)


def cpu_of_process(pid: int) -> float:
    """CPU milliseconds of a process and of the children it has waited for, its nft.

    In ticks: a child that has ended leaves nothing finer. The mean over many renewals is fair.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * 1000 / os.sysconf("SC_CLK_TCK")


async def renewals() -> dict[int, list[Renewal]]:
    found: dict[int, list[Renewal]] = {}
    with Testbed.build() as bed:
        gateway = bed.host("gateway")
        socket, config = bed.directory / "gate.sock", bed.directory / "gate.toml"
        config.write_text(
            f'socket = "{socket}"\nallowed_users = ["0"]\nplant_networks = ["192.168.1.0/24"]\n'
        )
        gate = gateway.popen([sys.executable, "-m", "rcd.gate", "--config", str(config)])
        until(lambda: "service_ready" in gate.log.read_text(), 20, "rcd-gate")
        for elements in ELEMENTS:
            async with await GateClient.connect(socket) as client:
                found[elements] = await renew(client, gate.pid, elements)
        gate.stop()
    return found


async def renew(client: GateClient, pid: int, elements: int) -> list[Renewal]:
    sessions = []
    for number, at in enumerate(range(0, elements, MAX_TARGETS), 1):
        asked = request(number, min(MAX_TARGETS, elements - at))
        await client.prepare(asked.session)
        await client.open(asked)
        sessions.append(asked.session)
    found = []
    for _ in range(RENEWALS):
        await asyncio.sleep(0.1)
        cpu, began = cpu_of_process(pid), time.perf_counter()
        expired = await client.renew(sessions)
        wall_ms = (time.perf_counter() - began) * 1000
        assert not expired, expired
        found.append(Renewal(wall_ms, cpu_of_process(pid) - cpu))
    await client.close_all()
    return found


def main() -> int:
    reason = why_not()
    if reason is not None:
        raise SystemExit(reason)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    renewed = asyncio.run(renewals())
    closed = closings(rounds)
    print(f"{'trigger':<16}{'limit ms':>9}{'median ms':>11}{'worst ms':>10}{'leaked':>8}")
    triggers, is_good = {}, True
    for name, each in closed.items():
        limit = TRIGGERS[name][1]
        times, leaked = spread((c.closed_ms for c in each), 1), sum(c.leaked for c in each)
        is_good &= times.highest <= limit
        triggers[name] = {"limit_ms": limit, "closed_ms": times, "leaked_packets": leaked}
        print(f"{name:<16}{limit:>9}{times.median:>11.1f}{times.highest:>10.1f}{leaked:>8}")
    print(f"\n{'elements':<16}{'median ms':>11}{'worst ms':>10}{'CPU ms':>8}")
    costs = {}
    for elements, rounds_of in renewed.items():
        wall = spread((r.wall_ms for r in rounds_of), 2)
        cpu = round(statistics.mean(r.cpu_ms for r in rounds_of), 2)
        is_good &= wall.median <= RENEWAL_MS
        costs[str(elements)] = {"wall_ms": wall, "cpu_ms": cpu}
        print(f"{elements:<16}{wall.median:>11.2f}{wall.highest:>10.2f}{cpu:>8.2f}")
    report("gate", {"rounds": rounds, "triggers": triggers, "renewal": costs, "within": is_good})
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
