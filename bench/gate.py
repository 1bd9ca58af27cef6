"""How soon the gateway is closed, what leaks meanwhile, and what keeping it open costs.

    make bench-gate [ROUNDS=20]

A real plant, cloud and technician in network namespaces; a UDP and a TCP stream to the PLC run at
ten messages a second while each trigger is pulled, and a witness on the PLC's wire notes each
packet. "Closed" is the time from the trigger to the last packet of the streams; a packet that was
on its way is no leak within the first 100 ms. The renewal is measured at the gate's own socket:
wall and CPU time, nft's included.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.measure import report, spread
from rclib.tunnel.gate_client import GateClient
from rclib.wire.gate import Allow, Open
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import MAX_TARGETS, Protocol
from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.story import PLC, Story
from testbed.tools.plc import ECHO_PORT
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

LOCAL_MS: Final = 2000
REMOTE_MS: Final = 5000
RENEWAL_MS: Final = 50
UNDER_WAY_MS: Final = 100
QUIET_MS: Final = 1000
ELEMENTS: Final = (1, 100, 1000)
RENEWALS: Final = 20


@dataclass(frozen=True)
class Closing:
    """One pull of a trigger."""

    closed_ms: float
    leaked: int
    """Packets on the PLC's wire later than UNDER_WAY_MS after the trigger."""


@dataclass(frozen=True)
class Renewal:
    """One renewal of all elements, with what it cost the gate and its nft."""

    wall_ms: float
    cpu_ms: float


def off(story: Story) -> None:
    story.turn_off()


def kill(story: Story) -> None:
    story.ams.submit("/end", session=story.session)


def administrator(story: Story) -> None:
    story.admin.post(f"/api/v1/sessions/{story.session}/end")


def owner(story: Story) -> None:
    story.tina.post(f"/api/v1/sessions/{story.session}/end")


def device(story: Story) -> None:
    story.admin.delete(f"/api/v1/gateways/{story.gateway}/devices/{story.device}")
    story.device = ""


def rcd_killed(story: Story) -> None:
    story.suite.processes["gateway:rcd"].kill()
    story.suite.start_rcd()


TRIGGERS: Final[dict[str, tuple[Callable[[Story], None], int]]] = {
    "plant_off": (off, LOCAL_MS),
    "plant_kill": (kill, LOCAL_MS),
    "rcd_killed": (rcd_killed, LOCAL_MS),
    "administrator": (administrator, REMOTE_MS),
    "owner": (owner, REMOTE_MS),
    "device_removed": (device, REMOTE_MS),
}


def now_ms() -> float:
    return time.time() * 1000


def close_once(story: Story, trigger: Callable[[Story], None]) -> Closing:
    story.turn_on()
    story.prepare(("tcp", ECHO_PORT), ("udp", ECHO_PORT))
    story.start()
    story.ams.get("/")
    wire = story.bed.host("plc").tool("arrivals", "eth0", str(ECHO_PORT))
    technician = story.bed.host("technician")
    streams = [technician.tool("stream", kind, PLC, str(ECHO_PORT)) for kind in ("tcp", "udp")]
    for each in streams:
        each.wait_message("answer")
    began = now_ms()
    trigger(story)

    def after() -> list[float]:
        times = [m["at_ms"] for m in wire.messages() if m["event"] == "packet"]
        return [at - began for at in times if at >= began]

    until(lambda: now_ms() - began - max(after(), default=0) > QUIET_MS, 20, "silence")
    found = after()
    for each in (*streams, wire):
        each.stop()
    story.turn_off()
    story.client.stop()
    return Closing(max(found, default=0.0), sum(at > UNDER_WAY_MS for at in found))


def closings(rounds: int) -> dict[str, list[Closing]]:
    found: dict[str, list[Closing]] = {name: [] for name in TRIGGERS}
    with Testbed.build() as bed:
        story = Story(bed)
        story.start_programs()
        story.enrol_gateway()
        story.enrol_technician()
        for number in range(rounds):
            for name, (trigger, _) in TRIGGERS.items():
                found[name].append(close_once(story, trigger))
                print(f"round {number + 1} of {rounds}, {name}: {found[name][-1]}", file=sys.stderr)
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
