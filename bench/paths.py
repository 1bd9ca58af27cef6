"""Paths: how soon a session answers and goes direct, what the switch costs, what each path carries.

Real programs on the testbed. Rounds are interleaved; every comparison is a ratio within one round.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.measure import cpu_s, interleave, ratio, require, spread
from testbed.bed import Testbed
from testbed.nat import NatKind
from testbed.requirements import why_not
from testbed.story import ECHO, IPERF, PLC, Story
from testbed.topology import PlantSpec, TechSpec, Topology
from testbed.waiting import until

if TYPE_CHECKING:
    from testbed.host import Host
    from testbed.process import Process

SITES = ("plant", "tech", "cloud")
PACE = 1000
AROUND_MS = 1000
"""Packets sent so long before and after a switch are judged."""
PLAIN, PLAIN_MTU = "10.99.0.2", 1280
PLAIN_GATEWAY = "plain_gateway"
PLAIN_HOSTS = {
    "plain": (PLAIN_GATEWAY, "plain_plc"),
    "plain_at_gateway": (PLAIN_GATEWAY, PLAIN_GATEWAY),
}
"""Where the tunnel ends, and where iperf3 listens: behind it, as with ours, or on it."""


LOAD_ALL = """
from rcc.__main__ import without_default_trust
with without_default_trust():
    import rcc.carrier
"""
"""As `rcc connect` does where no process carries sessions."""


STRICT = """table inet strict {
  chain forward {
    type filter hook forward priority filter;
    meta l4proto udp drop
  }
}
"""


MASQUERADE = """table ip plain
delete table ip plain
table ip plain {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname plain0 oifname lan0 accept
  }
  chain out {
    type nat hook postrouting priority srcnat;
    oifname lan0 masquerade
  }
}
"""


@dataclasses.dataclass(frozen=True)
class Start:
    """One press of Start; milliseconds."""

    first_reply: float
    direct: float
    client_start: float
    """Part of both: `rcc connect`, from nothing to where it can do its work."""


@dataclasses.dataclass(frozen=True)
class Switch:
    """One change of path under 1000 packets a second."""

    lost: int
    late: int
    """Packets that came behind one sent later."""
    bursts: int
    """Runs of such packets."""


@dataclasses.dataclass(frozen=True)
class Carried:
    """One iperf3 run."""

    mbit_s: float
    our_cpu: float
    """CPU-seconds of rcd and rcc per second."""


class Bench:
    """One bed and one story, with what is measured on it."""

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self.story = Story(bed)
        self.story.commission()
        self.story.turn_on()
        self._delay: Process | None = None

    def delay(self, rtt_ms: float) -> None:
        """Between any two of plant, technician and cloud."""
        internet = self.bed.host("internet")
        if self._delay is not None:
            self._delay.kill()
            internet.run(["sh", "-c", "while ip rule del table 100; do :; done"])
            self._delay = None
        if rtt_ms:
            self._delay = internet.tool("delay", str(rtt_ms / 2), *SITES)

    def start(self, rtt_ms: float, *, warm: bool = False) -> Start:
        """`warm`: with `rcc agent` there, as it is on a computer that is used for this daily."""
        self.delay(rtt_ms)
        story = self.story
        agent = story.suite.start_agent() if warm else None
        story.prepare(("udp", ECHO), ("tcp", ECHO), ("tcp", IPERF))
        first_reply = story.start()
        direct = story.wait_direct()
        self.stop()
        if agent is not None:
            agent.stop(15)
        started = time.monotonic()
        program = "import rcc.commands" if warm else LOAD_ALL
        self.bed.host("technician").run([sys.executable, "-c", program], check=True)
        return Start(first_reply, direct, (time.monotonic() - started) * 1000)

    def stop(self) -> None:
        self.story.suite.disconnect()
        self.story.client.wait(15)

    def switch(self) -> Switch:
        """From the relay to the direct path, with packets under way."""
        story = self.story
        self.bed.set_nat("plant_nat", NatKind.UDP_BLOCKED, forget=False)
        story.prepare(("udp", ECHO))
        story.start()
        details = story.settled_path()
        pace = self.bed.host("technician").tool("pace", PLC, str(ECHO), str(PACE))
        self.bed.set_nat("plant_nat", NatKind.PORT_PRESERVING, forget=False)
        until(lambda: story.path_details()["kind"] == "direct", 60, "the direct path")
        switched_ms = float(story.path_details()["since_ms"])
        time.sleep(AROUND_MS / 1000 + 0.5)
        pace.stop(10)
        paced = pace.wait_message("paced")
        self.stop()
        assert details["kind"] == "relay"
        return judge(paced["sent_ms"], paced["came"], switched_ms)

    def no_udp(self, *, blocked: bool) -> None:
        """Let nothing but TCP pass between the sites, as a strict firewall would."""
        internet = self.bed.host("internet")
        internet.run(["nft", "delete", "table", "inet", "strict"])
        if blocked:
            internet.run(["nft", "-f", "-"], stdin=STRICT, check=True)

    def carried(self, kind: str, seconds: int) -> Carried:
        technician = self.bed.host("technician")
        target = PLAIN if kind == "plain_at_gateway" else PLC
        far_end = self.bed.host(PLAIN_HOSTS[kind][1] if kind in PLAIN_HOSTS else "plc")
        server = far_end.popen(["iperf3", "-s", "-1", "-p", str(IPERF)])
        far_end.wait_port(IPERF)
        daemons = [
            self.story.suite.processes[name].pid
            for name in ("gateway:rcd", "technician:rcc")
            if kind not in PLAIN_HOSTS and name in self.story.suite.processes
        ]
        before = cpu_s(*daemons)
        done = technician.run(
            ["iperf3", "-c", target, "-p", str(IPERF), "-t", str(seconds), "-J"],
            timeout_s=seconds + 30,
            check=True,
        )
        used = cpu_s(*daemons) - before
        server.wait(10)
        said = json.loads(done.stdout)
        return Carried(said["end"]["sum_received"]["bits_per_second"] / 1e6, used / seconds)

    def by(self, kind: str, seconds: int) -> Carried:
        """Bring one kind of path up, measure it, take it down."""
        if kind in PLAIN_HOSTS:
            with_plain(self.bed.host("technician"), self.bed.host(PLAIN_GATEWAY))
            try:
                return self.carried(kind, seconds)
            finally:
                without_plain(self.bed.host("technician"), self.bed.host(PLAIN_GATEWAY))
        self.no_udp(blocked=kind == "relayed")
        self.story.prepare(("tcp", IPERF))
        self.story.start()
        wanted = "relay" if kind == "relayed" else "direct"
        assert self.story.settled_path()["kind"] == wanted
        result = self.carried(kind, seconds)
        self.stop()
        return result


def judge(sent_ms: list[float], came: list[int], switched_ms: float) -> Switch:
    """What became of the packets sent around the switch."""
    around = {number for number, at in enumerate(sent_ms) if abs(at - switched_ms) <= AROUND_MS}
    highest, late, bursts, was_late = -1, 0, 0, False
    for number in came:
        is_late = number < highest
        if is_late and number in around:
            late += 1
            bursts += not was_late
        was_late, highest = is_late, max(highest, number)
    return Switch(len(around - set(came)), late, bursts)


def with_plain(technician: Host, gateway: Host) -> None:
    """WireGuard by hand, with the same MTU and a gateway that forwards and translates as ours does.

    It ends in a second plant like the first, because a gateway of ours lets nobody else forward.
    """
    keys = {}
    for host in (technician, gateway):
        private = host.run(["wg", "genkey"], check=True).stdout.strip()
        public = host.run(["wg", "pubkey"], stdin=private, check=True).stdout.strip()
        keys[host] = (private, public)
    for host, own, peer, allowed in (
        (technician, "10.99.0.1", gateway, f"{PLAIN}/32,{PLC}/32"),
        (gateway, PLAIN, technician, "10.99.0.1/32"),
    ):
        script = f"""
        wireguard-go plain0 > /dev/null 2>&1
        echo {keys[host][0]} > /tmp/plain.key
        wg set plain0 listen-port 51820 private-key /tmp/plain.key peer {keys[peer][1]} \
          endpoint {peer.address}:51820 allowed-ips {allowed}
        ip address add {own}/24 dev plain0
        ip link set plain0 mtu {PLAIN_MTU} up
        """
        host.run(["sh", "-ec", script], check=True)
    technician.run(["ip", "route", "add", PLC, "dev", "plain0"], check=True)
    gateway.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
    gateway.run(["nft", "-f", "-"], stdin=MASQUERADE, check=True)


def without_plain(technician: Host, gateway: Host) -> None:
    for host in (technician, gateway):
        host.run(["ip", "link", "del", "plain0"], check=True)


def p95(values: list[float]) -> float:
    return round(statistics.quantiles(values, n=20, method="inclusive")[-1], 1)


def starts(rounds: int) -> dict[str, Any]:
    with Testbed.build() as bed:
        bench = Bench(bed)
        bench.start(0)  # the first start of all pays for cold caches
        found = interleave(
            {
                f"{name}_rtt_{rtt}_ms": partial(bench.start, rtt, warm=name == "warm")
                for rtt in (0, 50)
                for name in ("cold", "warm")
            },
            rounds,
        )
    return {
        name: {
            field: {
                "p95": p95([getattr(each, field) for each in results]),
                **dataclasses.asdict(spread([getattr(each, field) for each in results], 1)),
            }
            for field in ("first_reply", "direct", "client_start")
        }
        for name, results in found.items()
    }


def switches(rounds: int) -> dict[str, Any]:
    with Testbed.build() as bed:
        bench = Bench(bed)
        found = [bench.switch() for _ in range(rounds)]
    return {
        field: dataclasses.asdict(spread([getattr(each, field) for each in found], 1))
        for field in ("lost", "late", "bursts")
    }


def throughput(rounds: int, seconds: int) -> dict[str, Any]:
    topology = Topology(
        plants=(PlantSpec(nat=NatKind.NONE), PlantSpec(name="plain", nat=NatKind.NONE)),
        technicians=(TechSpec(nat=NatKind.NONE),),
    )
    with Testbed.build(topology) as bed:
        bench = Bench(bed)
        kinds = (*PLAIN_HOSTS, "direct", "relayed")
        found = interleave({kind: partial(bench.by, kind, seconds) for kind in kinds}, rounds)
    rates = {kind: [each.mbit_s for each in results] for kind, results in found.items()}
    return {
        "mbit_s": {kind: dataclasses.asdict(spread(each, 0)) for kind, each in rates.items()},
        "direct_by_plain": dataclasses.asdict(ratio(rates["direct"], rates["plain"])),
        "direct_by_plain_at_gateway": dataclasses.asdict(
            ratio(rates["direct"], rates["plain_at_gateway"])
        ),
        "relayed_by_direct": dataclasses.asdict(ratio(rates["relayed"], rates["direct"])),
        "our_cpu": {
            kind: dataclasses.asdict(spread(each.our_cpu for each in found[kind]))
            for kind in ("direct", "relayed")
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="paths", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="of starts; others take fewer")
    parser.add_argument("--seconds", type=int, default=3, help="per iperf3 run")
    parser.add_argument("--only", choices=("starts", "switches", "throughput"))
    arguments = parser.parse_args()
    reason = why_not()
    if reason is not None:
        sys.stderr.write(f"paths: {reason}\n")
        return 2
    require("iperf3", "iperf3")
    parts = {
        "starts": lambda: starts(arguments.rounds),
        "switches": lambda: switches(max(3, arguments.rounds // 2)),
        "throughput": lambda: throughput(max(3, arguments.rounds // 2), arguments.seconds),
    }
    wanted = [arguments.only] if arguments.only else list(parts)
    print(json.dumps({"paths": {name: parts[name]() for name in wanted}}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
