"""T20: clients that are not ours, and our probe, through the NATs of the testbed."""

from __future__ import annotations

import json
import re
import shutil
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import pytest

from testbed.bed import Testbed
from testbed.nat import NatKind
from testbed.requirements import why_not
from testbed.topology import TechSpec, Topology
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.topology import Address

pytestmark = pytest.mark.netns

# Gathers as an ICE agent does, and prints what the server saw.
GATHER = """
import asyncio, json, sys, aioice

async def main():
    v6 = ":" in sys.argv[1]
    ice = aioice.Connection(
        ice_controlling=True, use_ipv4=not v6, use_ipv6=v6, stun_server=(sys.argv[1], 3478)
    )
    await ice.gather_candidates()
    found = [(c.type, c.host, c.port) for c in ice.local_candidates]
    await ice.close()
    print(json.dumps(found))

asyncio.run(main())
"""

# One Binding request by aioice's own STUN client, which judges the answer.
ASK = """
import asyncio, json, sys
from aioice import stun

class Client(asyncio.DatagramProtocol):
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()
    def datagram_received(self, data, source):
        self.answer.set_result(stun.parse_message(data))

async def main():
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        Client, remote_addr=(sys.argv[1], 3478)
    )
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.add_fingerprint()
    transport.sendto(bytes(request))
    answer = await asyncio.wait_for(client.answer, 10)
    assert answer.transaction_id == request.transaction_id
    print(json.dumps(answer.attributes["XOR-MAPPED-ADDRESS"]))
    transport.close()

asyncio.run(main())
"""


class World:
    """stund in the cloud, and a technician behind a NAT that has IPv6, too."""

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self.technician = bed.host("technician")
        self.stund = bed.host("cloud").popen(
            [sys.executable, "-m", "stund", "--no-rate-limit"], name="stund"
        )
        until(lambda: "service_ready" in self.stund.log.read_text(), 20, "stund")
        addresses = [each.ip for each in bed.host("cloud").addresses]
        self.servers: dict[int, list[Address]] = {
            version: [each for each in addresses if each.version == version] for version in (4, 6)
        }
        self.router = bed.host("tech_nat").address

    def seen_as(self, version: int) -> Address:
        """The address under which the cloud sees the technician; IPv6 is not translated."""
        if version == 4:
            return self.router
        return next(a.ip for a in self.technician.addresses if a.version == 6)

    def probe(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        done = self.technician.run(
            [sys.executable, "-m", "stund.probe", "--json", "-n", "2", *arguments], timeout_s=60
        )
        assert "Traceback" not in done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, document

    def answered(self, *command: str) -> str:
        return self.technician.run(command, check=True, timeout_s=60).stdout


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build(Topology(technicians=(TechSpec(ipv6=True),))) as bed:
        world = World(bed)
        yield world
        assert world.stund.stop() == 0
        log = [json.loads(line) for line in world.stund.log.read_text().splitlines()]
        assert {event["level"] for event in log} == {"info"}


@pytest.fixture
def nat(world: World, request: pytest.FixtureRequest) -> Iterator[NatKind]:
    world.bed.set_nat("tech_nat", request.param)
    yield request.param
    world.bed.set_nat("tech_nat", NatKind.PORT_PRESERVING)


def needs(program: str, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing; install Debian's package {package}")


@pytest.mark.parametrize("version", [4, 6])
def test_coturns_client_gets_the_right_answer(world: World, version: int) -> None:
    needs("turnutils_stunclient", "coturn")
    output = world.answered("turnutils_stunclient", str(world.servers[version][0]))
    (seen,) = set(re.findall(r"UDP reflexive addr: (\S+):\d+", output))
    kind = IPv6Address if version == 6 else IPv4Address
    assert kind(seen.strip("[]")) == world.seen_as(version)


def test_aioice_gathers_a_candidate_behind_the_nat(world: World) -> None:
    output = world.answered(sys.executable, "-c", GATHER, str(world.servers[4][0]))
    found = json.loads(output)
    assert ["srflx", str(world.router)] in [[kind, host] for kind, host, _ in found]


@pytest.mark.parametrize("version", [4, 6])
def test_aioices_stun_client_gets_the_right_answer(world: World, version: int) -> None:
    output = world.answered(sys.executable, "-c", ASK, str(world.servers[version][0]))
    assert json.loads(output)[0] == str(world.seen_as(version))


def test_debians_client_without_cookie_gets_silence(world: World) -> None:
    needs("stun", "stun-client")
    answers = world.bed.counter("cloud", "udp sport 3478")
    done = world.technician.run(["stun", str(world.servers[4][0])], timeout_s=60)
    assert "Blocked or could not reach STUN server" in done.stdout
    assert answers.packets == 0
    world.probe(str(world.servers[4][0]))
    assert answers.packets == 2  # the counter does count


@pytest.mark.parametrize(
    ("nat", "mapping"),
    [
        (NatKind.PORT_PRESERVING, "endpoint_independent"),
        (NatKind.SYMMETRIC, "address_dependent"),
    ],
    indirect=["nat"],
)
def test_the_probe_tells_what_the_nat_does(world: World, nat: NatKind, mapping: str) -> None:
    status, document = world.probe(*map(str, world.servers[4]))

    assert status == 0
    assert document["mapping"] == {"ipv4": mapping}
    for server in document["servers"]:
        (seen,) = server["reflexive"]
        assert seen.startswith(f"{world.router}:")
        assert len(server["rtts_ms"]) == 2


def test_the_probe_sees_no_nat_on_ipv6(world: World) -> None:
    status, document = world.probe(*map(str, world.servers[6]))

    assert status == 0
    assert document["mapping"] == {"ipv6": "no_nat"}
    (seen,) = document["servers"][0]["reflexive"]
    assert seen.startswith(f"[{world.seen_as(6)}]:")


def test_the_probe_takes_names_and_both_families(world: World) -> None:
    status, document = world.probe("stun1.example", "stun2.example")

    assert status == 0
    assert document["mapping"] == {"ipv4": "endpoint_independent", "ipv6": "no_nat"}
    assert len(document["servers"]) == 4


@pytest.mark.parametrize("nat", [NatKind.UDP_BLOCKED], indirect=True)
def test_the_probe_tells_a_firewall_that_drops_udp(world: World, nat: NatKind) -> None:
    server = str(world.servers[4][0])
    done = world.technician.run(
        [sys.executable, "-m", "stund.probe", server, "-n", "2", "--timeout", "0.3"]
    )
    assert done.returncode == 1
    assert "no answer to 2 requests" in done.stdout
    assert "no UDP answer at all" in done.stdout
