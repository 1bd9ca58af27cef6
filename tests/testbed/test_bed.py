from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from ipaddress import IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.bed import Testbed
from testbed.errors import BedError
from testbed.nat import NatKind
from testbed.tools.plc import ECHO_PORT, MARK
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

PROJECT = Path(__file__).resolve().parents[2]

# Answers every datagram with the address it seems to come from.
REFLECT = """
import socket, sys, threading
def serve(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 9000))
        while True:
            _, peer = s.recvfrom(64)
            s.sendto(f"{peer[0]} {peer[1]}".encode(), peer)
for address in sys.argv[1:]:
    threading.Thread(target=serve, args=(address,)).start()
"""

# From one socket to each address; prints the local port and what each of them saw.
ASK = """
import json, socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(1)
    seen = []
    for address in sys.argv[1:]:
        s.sendto(b"who am I", (address, 9000))
        try:
            seen.append(s.recv(64).decode().split())
        except TimeoutError:
            seen.append(None)
    print(json.dumps({"local": s.getsockname()[1], "seen": seen}))
"""

CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close()
"""


def can_connect(bed: Testbed, host: str, address: str, port: int) -> bool:
    command = [sys.executable, "-IS", "-c", CONNECT, address, str(port)]
    return bed.host(host).run(command).returncode == 0


@pytest.fixture(scope="session")
def cloud(bed: Testbed) -> list[str]:
    """The cloud's two IPv4 addresses, with UDP reflectors on port 9000 and TCP on port 80."""
    host = bed.host("cloud")
    addresses = [str(each.ip) for each in host.addresses if isinstance(each, IPv4Interface)]
    host.tool("hmi")
    host.popen([sys.executable, "-IS", "-c", REFLECT, *addresses], name="reflect")
    listening = "sport = :9000"
    until(
        lambda: host.run(["ss", "-Hlun", listening]).stdout.count("\n") == len(addresses),
        10,
        "the reflectors",
    )
    return addresses


@pytest.fixture
def technicians_nat(bed: Testbed) -> Iterator[str]:
    yield "tech_nat"
    bed.set_nat("tech_nat", NatKind.PORT_PRESERVING)


def ask(bed: Testbed, cloud: list[str]) -> dict[str, Any]:
    done = bed.host("technician").run(
        [sys.executable, "-IS", "-c", ASK, *cloud], check=True, timeout_s=10
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class TestReachability:
    def test_the_technician_reaches_the_cloud_by_name(self, bed: Testbed, cloud: list[str]) -> None:
        assert can_connect(bed, "technician", "cloud.example", 80)
        assert can_connect(bed, "gateway", "cloud2.example", 80)

    def test_the_cloud_reaches_neither_the_router_nor_inside(self, bed: Testbed) -> None:
        """With listeners and a route, so that nothing but the router's filter stands between."""
        router, inside = (bed.host(name) for name in ("tech_nat", "technician"))
        for host in (router, inside):
            host.tool("hmi")
        assert can_connect(bed, "tech_nat", str(inside.address), 80)
        route = ["192.168.178.0/24", "via", str(router.address)]
        bed.host("internet").run(["ip", "route", "add", *route], check=True)
        try:
            assert not can_connect(bed, "cloud", str(router.address), 80)
            assert not can_connect(bed, "cloud", str(inside.address), 80)
        finally:
            bed.host("internet").run(["ip", "route", "del", *route], check=True)

    def test_the_technician_cannot_reach_the_plant_lan(self, bed: Testbed) -> None:
        at_the_plc = bed.counter("plc", "ip daddr 192.168.1.10")
        assert not can_connect(bed, "technician", str(bed.host("plc").address), 502)
        assert at_the_plc.packets == 0


class TestNat:
    def test_port_preserving_keeps_the_source_port(self, bed: Testbed, cloud: list[str]) -> None:
        answer = ask(bed, cloud)
        router = str(bed.host("tech_nat").address)
        assert answer["seen"] == [[router, str(answer["local"])]] * 2

    def test_symmetric_shows_each_destination_another_port(
        self, bed: Testbed, cloud: list[str], technicians_nat: str
    ) -> None:
        bed.set_nat(technicians_nat, NatKind.SYMMETRIC)
        answer = ask(bed, cloud)
        ports = {port for _, port in answer["seen"]}
        assert len(ports | {str(answer["local"])}) == 3

    def test_udp_blocked_lets_only_tcp_out(
        self, bed: Testbed, cloud: list[str], technicians_nat: str
    ) -> None:
        bed.set_nat(technicians_nat, NatKind.UDP_BLOCKED)
        assert ask(bed, cloud)["seen"] == [None, None]
        assert can_connect(bed, "technician", cloud[0], 80)

    def test_a_running_udp_flow_does_not_outlive_udp_blocked(
        self, bed: Testbed, cloud: list[str], technicians_nat: str
    ) -> None:
        echo = bed.host("cloud").tool("plc")
        echo.wait_message("ready")
        flow = bed.host("technician").tool("stream", "udp", cloud[0], str(ECHO_PORT))
        flow.wait_message("answer")
        bed.set_nat(technicians_nat, NatKind.UDP_BLOCKED)
        flow.wait_message("silence", timeout_s=10)
        flow.stop()
        echo.stop()


class TestDevices:
    def test_registers_read_from_the_gateway_change(self, bed: Testbed) -> None:
        first, second = (self._read(bed, 0, 1) for _ in range(2))
        assert second[0] > first[0]

    def test_a_capture_shows_the_known_plaintext(self, bed: Testbed) -> None:
        capture = bed.capture("gateway", "lan0", "tcp port 502")
        self._read(bed, 10, len(MARK) // 2)
        until(lambda: MARK in capture.path.read_bytes(), 5, "the registers in the capture")
        assert MARK in capture.stop()

    def test_a_capture_that_cannot_start_says_why_at_once(self, bed: Testbed) -> None:
        with pytest.raises(BedError, match="no-such-interface"):
            bed.capture("gateway", "no-such-interface")

    def test_a_counter_sees_what_passes_an_interface(self, bed: Testbed) -> None:
        counter = bed.counter("gateway", "ip daddr 192.168.1.30")
        assert counter.packets == 0
        assert can_connect(bed, "gateway", "192.168.1.30", 502)
        assert counter.packets > 0

    @staticmethod
    def _read(bed: Testbed, first: int, count: int) -> list[int]:
        reader = bed.host("gateway").tool(
            "modbus_read", "192.168.1.10", str(first), str(count), "5"
        )
        values: list[int] = reader.wait_message("read")["values"]
        reader.wait(5)
        return values


class TestDoorway:
    def test_a_page_of_a_host_opens_on_this_machine(self, bed: Testbed) -> None:
        port = bed.doorway("hmi", 80)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
            assert b"HMI" in page.read()

    def test_a_half_closed_connection_still_gets_its_answer(self, bed: Testbed) -> None:
        port = bed.doorway("plc", 4840)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
            link.sendall(b"last words")
            link.shutdown(socket.SHUT_WR)
            with link.makefile("rb") as answer:
                assert answer.read() == b"last words"


class TestProcesses:
    def test_stop_ends_the_program_and_not_only_the_wrapper(self, bed: Testbed) -> None:
        sleeper = bed.host("technician").popen(["sleep", "300"])
        pid = sleeper.pid
        assert sleeper.stop() == -signal.SIGTERM
        assert not Path(f"/proc/{pid}").exists()

    def test_a_frozen_program_thaws(self, bed: Testbed) -> None:
        cat = bed.host("technician").popen(["sleep", "300"])
        cat.send_signal(signal.SIGSTOP)
        until(lambda: " T " in Path(f"/proc/{cat.pid}/stat").read_text(), 5, "the program to stop")
        cat.send_signal(signal.SIGCONT)
        assert cat.stop() == -signal.SIGTERM


BUILD_AND_WAIT = """
import sys
from testbed.bed import Testbed
with Testbed.build() as bed:
    print(bed.directory, bed.host("gateway").pid, flush=True)
    sys.stdin.read()
"""


class TestEnd:
    def test_a_killed_builder_leaves_no_process_interface_or_file(self, bed: Testbed) -> None:
        """A second testbed beside the running one, which has to live on."""
        before = _interfaces()
        with subprocess.Popen(
            [sys.executable, "-c", BUILD_AND_WAIT],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as builder:
            assert builder.stdout is not None
            directory, holder = builder.stdout.readline().split()
            assert _processes_of(directory)
            builder.kill()
        until(lambda: not Path(directory).exists(), 10, f"{directory} to be removed")
        until(lambda: not _processes_of(directory), 10, "the last process to end")
        assert not Path(f"/proc/{holder}").exists()
        assert _interfaces() == before
        assert can_connect(bed, "gateway", "192.168.1.10", 502)

    def test_two_testbeds_do_not_see_each_other(self, bed: Testbed) -> None:
        with Testbed.build() as other:
            seen = bed.counter("plc", "tcp dport 502")
            assert can_connect(other, "gateway", "192.168.1.10", 502)
            assert seen.packets == 0
            directory = other.directory
        assert not directory.exists()


def _interfaces() -> list[str]:
    """Of this machine's own network namespace."""
    return sorted(each.name for each in Path("/sys/class/net").iterdir())


def _processes_of(directory: str) -> list[str]:
    """Every process of a testbed is told where its directory is, or sits in init's namespace."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes()
        except OSError:
            continue
        if directory.encode() in command:
            found.append(each.parent.name)
    return found
