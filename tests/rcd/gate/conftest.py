"""Both gates as real processes in a testbed, joined by a plain UDP link."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rclib.tunnel.gate_client import GateClient
from rclib.wire.gate import RENEW_S, Allow, Open
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import Protocol
from testbed.bed import Testbed
from testbed.requirements import why_not
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from rclib.wire.gate import Gone, Opened, Tampered
    from testbed.host import Host
    from testbed.process import Process

LINK_SCRIPT = Path(__file__).with_name("udp_link.py")
START_S = 20.0
KNOCK_S = 0.4 * min(SLOWNESS, 5)
"""How long a knock waits. What may not be answered costs all of it."""
UDP_ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
while True:
    s.sendto(*s.recvfrom(65536))
"""

KNOCK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
kind = socket.SOCK_STREAM if sys.argv[3] == "tcp" else socket.SOCK_DGRAM
s = socket.socket(family, kind)
s.settimeout(float(sys.argv[4]))
s.connect((sys.argv[1], int(sys.argv[2])))
if kind == socket.SOCK_DGRAM:
    s.send(b"x")
    s.recv(1)
"""


class PatientClient(GateClient):
    """Waits as long for an answer as this machine needs; the gates' own limits stay as they are."""

    async def _ask(self, verb: Any, expected: Any, timeout_s: float) -> Any:  # noqa: ANN401
        return await super()._ask(verb, expected, timeout_s * SLOWNESS)


class Gates:
    """The two gates, and how to open sessions through both."""

    plc, hmi, unreleased = "192.168.1.10", "192.168.1.20", "192.168.1.30"
    modbus = Allow(plc, Protocol.TCP, 502)
    echo_tcp = Allow(plc, Protocol.TCP, 4840)
    echo_udp = Allow(plc, Protocol.UDP, 7)
    ping = Allow(plc, Protocol.ICMP_ECHO)

    def __init__(self, bed: Testbed, directory: Path) -> None:
        self.bed = bed
        self.gateway: Host = bed.host("gateway")
        self.technician: Host = bed.host("technician")
        self._directory = directory
        self._links = 0
        self._halves: list[Process] = []
        self.processes: dict[str, Process] = {}
        self.sockets = {name: directory / f"{name}.sock" for name in ("rcd", "rcc")}

    @staticmethod
    def session(letter: str) -> SessionId:
        return SessionId(f"ses_{letter * 16}")

    def request(self, letter: str) -> Open:
        """Return an Open nobody answers to."""
        return Open(
            self.session(letter),
            TunnelKey(bytes(32)),
            "100.64.9.1",
            "100.64.9.2",
            9,
            (self.modbus,),
            1280,
        )

    def start(self, program: str, *lines: str, env: dict[str, str] | None = None) -> Process:
        """Start `rcd` or `rcc`'s gate; extra lines go to its configuration."""
        host = self.gateway if program == "rcd" else self.technician
        networks = (
            ('plant_networks = ["192.168.1.0/24", "fd00:1::/64"]',) if program == "rcd" else ()
        )
        config = self._directory / f"{program}.toml"
        socket = f'socket = "{self.sockets[program]}"'
        config.write_text("\n".join((socket, 'allowed_users = ["0"]', *networks, *lines)))
        command = [sys.executable, "-m", f"{program}.gate", "--config", str(config)]
        process = host.popen(command, name=f"{program}-gate", env=env)
        self.processes[program] = process
        return process

    def ensure_ready(self) -> None:
        """Start the gates that do not run, and wait for them."""
        for program in ("rcd", "rcc"):
            if not self.running(program):
                self.start(program)
        until(lambda: self.logged("rcd", "service_ready"), START_S, "rcd-gate")
        until(lambda: self.logged("rcc", "service_ready"), START_S, "rcc-gate")

    def running(self, program: str) -> bool:
        return program in self.processes and self.processes[program].poll() is None

    def logged(self, program: str, event: str) -> list[dict[str, Any]]:
        """Return the lines of a running gate's log about this event."""
        lines = self.processes[program].log.read_text().splitlines()
        return [each for each in map(json.loads, lines) if each["event"] == event]

    def command(self, program: str, *arguments: str, **options: Any) -> Any:  # noqa: ANN401 -- as Host.run
        """Run `rcd-gate` or `rcc-gate` to its end."""
        host = self.gateway if program == "rcd" else self.technician
        return host.run([sys.executable, "-m", f"{program}.gate", *arguments], **options)

    @asynccontextmanager
    async def controlled(self) -> AsyncIterator[Pair]:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(await PatientClient.connect(self.sockets[name]))
                for name in ("rcd", "rcc")
            ]
            yield Pair(self, *clients)

    def answers(self, address: str, port: int, *, family: str = "tcp") -> bool:
        """Whether a service answers the technician."""
        knock = ["python3", "-c", KNOCK, address, str(port), family, str(KNOCK_S)]
        return self.technician.run(knock).returncode == 0

    def pings(self, address: str) -> bool:
        return self.technician.run(["ping", "-c1", f"-W{KNOCK_S}", address]).returncode == 0

    def link(self) -> tuple[int, Path, Path]:
        """Join loopback ports of the hosts; returns the port and both halves' sockets."""
        self._links += 1
        port = 5000 + self._links
        inner, outer = (self._directory / f"{self._links}{end}" for end in "gt")
        ways = ((self.gateway, inner, outer), (self.technician, outer, inner))
        for host, own, other in ways:
            link = host.popen(["python3", LINK_SCRIPT, str(port), own, other], name="link")
            self._halves.append(link)
            link.wait_message("ready")
        return port, inner, outer

    def end_links(self) -> None:
        while self._halves:
            self._halves.pop().stop()

    def stop(self) -> None:
        self.end_links()
        for process in self.processes.values():
            process.stop()

    def interfaces(self, host: Host) -> list[str]:
        listed = json.loads(host.run(["ip", "--json", "link"], check=True).stdout)
        return [link["ifname"] for link in listed]

    def tables(self, host: Host) -> str:
        return host.run(["nft", "list", "ruleset"], check=True).stdout

    def forwarding(self, interface: str = "lan0") -> str:
        path = f"/proc/sys/net/ipv4/conf/{interface}/forwarding"
        return self.gateway.run(["cat", path], check=True).stdout.strip()

    def is_clean(self) -> bool:
        interfaces = self.interfaces(self.gateway) == ["lo", *self.gateway.interfaces]
        return interfaces and "rcd_gate" not in self.tables(self.gateway)

    def assert_nothing_left(self) -> None:
        """Assert that the gateway looks as if rcd-gate had never run."""
        assert self.interfaces(self.gateway) == ["lo", *self.gateway.interfaces]
        assert "rcd_gate" not in self.tables(self.gateway)
        assert self.forwarding() == "0"
        assert "100.64." not in self.gateway.run(["conntrack", "-L"]).stdout
        assert "100.64." not in self.gateway.run(["ip", "route"], check=True).stdout


class Pair:
    """Connections to both gates."""

    def __init__(self, gates: Gates, gateway: GateClient, technician: GateClient) -> None:
        self.gates = gates
        self.gateway = gateway
        self.technician = technician

    async def open(
        self,
        allow: Sequence[Allow],
        *,
        letter: str = "a",
        number: int = 1,
        technician_allow: Sequence[Allow] | None = None,
    ) -> tuple[Opened, Opened]:
        """Open a session at both ends and wait for its handshake."""
        session = self.gates.session(letter)
        port, inner, _ = self.gates.link()
        keys = await self.gateway.prepare(session), await self.technician.prepare(session)
        local, peer = f"100.64.{number}.1", f"100.64.{number}.2"
        inside = await self.gateway.open(
            Open(session, keys[1], local, peer, port, tuple(allow), 1280, 0)
        )
        inner.with_name(f"{inner.name}.peer").write_text(str(inside.listen_port))
        wide = tuple(allow if technician_allow is None else technician_allow)
        outside = await self.technician.open(
            Open(session, keys[0], peer, local, port, wide, 1280, 25)
        )
        async with self.renewing(letter):
            await asyncio.to_thread(until, lambda: self._shaken(outside), 10.0, "the handshake")
        return inside, outside

    @asynccontextmanager
    async def renewing(self, *letters: str) -> AsyncIterator[None]:
        """Renew these sessions as rcd does; none of them may end before the block does."""
        sessions = [self.gates.session(letter) for letter in letters]
        over = asyncio.Event()

        async def renew() -> None:
            while not over.is_set() and await self.gateway.renew(sessions) == ():
                with suppress(TimeoutError):
                    async with asyncio.timeout(RENEW_S):
                        await over.wait()

        renewing = asyncio.create_task(renew())
        try:
            yield
            assert not renewing.done(), "a session ended on the way"
        finally:
            over.set()
            await renewing

    async def event(self, timeout_s: float) -> Tampered | Gone:
        """Return the first thing the gateway's gate reports by itself."""
        async with asyncio.timeout(timeout_s * SLOWNESS):
            return await anext(self.gateway.events())

    async def assert_silent(self, seconds: float) -> None:
        """Assert that the gateway's gate reports nothing for so long."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await anext(self.gateway.events())

    def _shaken(self, opened: Opened) -> bool:
        shown = self.gates.technician.run(["wg", "show", opened.interface, "latest-handshakes"])
        return shown.returncode == 0 and not shown.stdout.strip().endswith("\t0")


@pytest.fixture(scope="session")
def bed() -> Iterator[Testbed]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Testbed.build() as built:
        plc = built.host("plc")
        plc.popen(["python3", "-c", UDP_ECHO], name="echo")
        until(lambda: plc.run(["ss", "-Hlun", "sport = :7"]).stdout, START_S, "the UDP echo")
        yield built


@pytest.fixture(scope="session")
def gates(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gates]:
    """Both gates, not yet started; at the end nothing of them is left."""
    built = Gates(bed, tmp_path_factory.mktemp("gates"))
    yield built
    built.stop()
    built.assert_nothing_left()


@pytest.fixture
def ready(gates: Gates) -> Iterator[Gates]:
    """Both gates, running and idle; a test may end or kill them."""
    gates.ensure_ready()
    yield gates
    gates.end_links()
    if gates.running("rcd"):
        until(gates.is_clean, 5.0, "the gate to close what the test opened")
