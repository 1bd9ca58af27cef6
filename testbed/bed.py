"""A testbed that is up: hosts, NATs, devices, and means to watch and to disturb."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from testbed import nat, wiring
from testbed.capture import Capture, Counter
from testbed.doorway import Doorway
from testbed.host import Host
from testbed.namespaces import Init
from testbed.topology import Role, Topology, plan

if TYPE_CHECKING:
    from testbed.nat import NatKind


class Testbed:
    """Made by `Testbed.build`; ends with the `with` block, or with the process that built it."""

    __test__ = False  # pytest: this is a tool, not a test

    def __init__(self, directory: Path, init: Init, hosts: dict[str, Host]) -> None:
        self.directory = directory
        """Shared by all hosts: state, sockets, logs. Removed at the end."""
        self.hosts = hosts
        self._init = init
        self._closing = ExitStack()

    @classmethod
    def build(cls, topology: Topology | None = None) -> Testbed:
        """Build and start the plant's devices; raises BedError with what is missing."""
        planned = plan(topology or Topology())
        directory = Path(tempfile.mkdtemp(prefix="testbed-"))
        directory.chmod(0o755)
        etc = directory / "etc"
        for each in (etc, directory / "logs"):
            each.mkdir()
        (etc / "resolv.conf").touch()
        for name in planned.hosts:
            (etc / f"{name}.hosts").write_text(wiring.hosts_file(planned))
        init = Init(directory, remove_directory=True)
        try:
            pids = init.start_holders([(h.name, h.forwards) for h in planned.hosts.values()], etc)
            hosts = {n: Host(h, pids[n], directory) for n, h in planned.hosts.items()}
            wiring.connect(planned, pids, hosts[Role.INTERNET])
            bed = cls(directory, init, hosts)
            for host in hosts.values():
                script = wiring.host_script(host.plan)
                host.run(["sh", "-e"], stdin=script, check=True)
                if host.plan.nat is not None:
                    bed.set_nat(host.name, host.plan.nat)
            bed._start_devices()
        except BaseException:
            init.close()
            raise
        return bed

    def host(self, name: str) -> Host:
        return self.hosts[name]

    def set_nat(self, router: str, kind: NatKind, *, forget: bool = True) -> None:
        """Make this router behave like that, from the next packet on, or the next flow."""
        self.hosts[router].run(["nft", "-f", "-"], stdin=nat.render(kind), check=True)
        if forget:
            self.forget_flows(router)

    def forget_flows(self, router: str) -> None:
        """Drop the router's NAT bindings, as its restart would: flows go on under new ones."""
        self.hosts[router].run(["conntrack", "-F"], check=True)

    def capture(self, host: str, interface: str, packets: str = "") -> Capture:
        """Record packets of an interface (a pcap filter may say which)."""
        return Capture(self.hosts[host], interface, packets, self.directory)

    def counter(self, host: str, rule: str) -> Counter:
        """Count packets that match an nft expression, on their way in, through or out."""
        return Counter(self.hosts[host], rule)

    def doorway(self, host: str, port: int, address: str = "127.0.0.1") -> int:
        """Make a TCP port of a host reachable at 127.0.0.1 of this machine; returns the port."""
        door = self._closing.enter_context(Doorway(self.hosts[host], address, port, self.directory))
        return door.port

    def close(self) -> None:
        self._closing.close()
        self._init.close()
        for host in self.hosts.values():
            host.reap()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_devices(self) -> None:
        started = {Role.PLC: ("plc",), Role.HMI: ("hmi",), Role.UNRELEASED: ("plc", "hmi")}
        for host in self.hosts.values():
            for tool in started.get(host.role, ()):
                host.tool(tool)
