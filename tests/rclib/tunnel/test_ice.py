"""ICE between two agents on a host of the testbed, and what strangers and liars get."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from aioice import stun
from aioice.ice import StunProtocol

from rclib.runtime.logs import get_logger
from rclib.tunnel.ice import IceAgent, IceFailedError
from rclib.tunnel.own_addresses import OwnAddresses, read_own_addresses
from rclib.wire.path_signal import Candidate, CandidateKind
from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.topology import TechSpec, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from testbed.host import Host

pytestmark = pytest.mark.netns

REQUEST = stun.Class.REQUEST


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    topology = Topology(plants=(), technicians=(TechSpec(ipv6=True),))
    with Testbed.build(topology) as bed:
        yield bed.host("technician")


def inside(host: Host, function: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a coroutine function of this file on the host; it fails as it does there."""
    run = f"asyncio.run(runpy.run_path({__file__!r})[{function.__name__!r}]())"
    host.run([sys.executable, "-W", "error", "-c", f"import asyncio, runpy; {run}"], check=True)


def agent(*, controlling: bool, own: OwnAddresses | None = None) -> IceAgent:
    return IceAgent(
        controlling=controlling,
        own=own or read_own_addresses(),
        on_candidates=lambda _found, _last: None,
        log=get_logger("test"),
    )


async def two_agents() -> None:
    ours, theirs = agent(controlling=True), agent(controlling=False)
    offered, answered = await ours.gather(), await theirs.gather()
    assert {ipaddress.ip_address(each.address).version for each in offered} == {4, 6}
    await ours.add_remote(answered, is_last=True)
    await theirs.add_remote(offered, is_last=True)
    mine, his = await asyncio.gather(
        ours.connect(*theirs.credentials), theirs.connect(*ours.credentials)
    )
    assert mine.local_port == his.remote_port
    assert his.local_port == mine.remote_port
    await ours.close()
    await theirs.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heir:
        heir.bind(("", mine.local_port))


def test_two_agents_agree_on_a_pair_and_leave_the_port_to_an_heir(host: Host) -> None:
    inside(host, two_agents)


async def dropped() -> None:
    """One end's NAT drops the other's first check, as most do until their own end has sent."""
    stun.RETRY_RTO = 3600  # what is not sent again by a better reason is lost
    ours, theirs = agent(controlling=True), agent(controlling=False)
    (offered, *_), (answered, *_) = await ours.gather(), await theirs.gather()
    send, requests = StunProtocol.send_stun, []

    def drop_the_first(self: StunProtocol, message: stun.Message, addr: tuple[str, int]) -> None:
        if addr == (offered.address, offered.port) and message.message_class is REQUEST:
            requests.append(message)
            if len(requests) == 1:
                return
        send(self, message, addr)

    StunProtocol.send_stun = drop_the_first
    await ours.add_remote((answered,), is_last=True)
    await theirs.add_remote((offered,), is_last=True)
    async with asyncio.timeout(20):
        await asyncio.gather(ours.connect(*theirs.credentials), theirs.connect(*ours.credentials))
    await ours.close()
    await theirs.close()


def test_a_dropped_check_is_sent_again_when_the_way_turns_out_to_be_open(host: Host) -> None:
    inside(host, dropped)


async def silence() -> None:
    ours = agent(controlling=False)
    (offered, *_) = [each for each in await ours.gather() if "." in each.address]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        check = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        naked = bytes(check)
        check.attributes["USERNAME"] = f"{ours.credentials[0]}:abcd"
        check.attributes["PRIORITY"] = 1
        check.add_message_integrity(b"guessed")
        broken = naked[:2] + b"\xff\xff" + naked[4:]
        for packet in (naked, bytes(check), broken, b"", b"\x04" * 100, bytes(check)[:-3]):
            stranger.sendto(packet, (offered.address, offered.port))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.get_running_loop().sock_recv(stranger, 2000)
    await ours.close()


def test_who_does_not_know_the_password_hears_nothing(host: Host) -> None:
    inside(host, silence)


LIES = [
    *("127.0.0.1", "::1", "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1", "100.64.0.1", "::"),
    *("::ffff:192.0.2.1", "fdc4:9a1e:6b7d::1", "10.7.7.7", "not an address", "a.local"),
]


async def lies() -> None:
    real = read_own_addresses()
    own = OwnAddresses(real.addresses, (ipaddress.ip_network("10.7.7.0/24"),))
    ours = agent(controlling=True, own=own)
    await ours.gather()
    told = tuple(Candidate(CandidateKind.HOST, address, 4711, 1) for address in LIES)
    await ours.add_remote(told, is_last=True)
    with pytest.raises(IceFailedError):
        async with asyncio.timeout(20):
            await ours.connect("abcd", "x" * 22)
    assert ours._connection.remote_candidates == []  # noqa: SLF001 - what it would have sent to
    await ours.close()


def test_addresses_no_peer_can_have_are_not_even_tried(host: Host) -> None:
    inside(host, lies)


def test_what_is_no_uplink_is_not_offered(host: Host) -> None:
    script = (
        "ip link add dummy9 type veth peer name dummy8; ip address add 10.7.7.1/24 dev dummy9; "
        "ip link set dummy9 up; ip link add rct8 type veth peer name rct9; "
        "ip address add 100.64.0.1/31 dev rct8; ip link set rct8 up"
    )
    host.run(["sh", "-ec", script], check=True)
    inside(host, only_the_uplink)


async def only_the_uplink() -> None:
    own = read_own_addresses()
    assert "10.7.7.1" not in map(str, own.addresses)
    assert "100.64.0.1" not in map(str, own.addresses)
    assert ipaddress.ip_network("10.7.7.0/24") in own.elsewhere
    ours = agent(controlling=True)
    offered = {each.address for each in await ours.gather()}
    assert offered == {"192.168.178.2", *(str(a) for a in own.addresses if a.version == 6)}
    await ours.close()
