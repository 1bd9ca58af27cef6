"""From a plan to commands: cables, bridges, addresses, routes. Pure but for `connect`."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from testbed.errors import BedError
from testbed.namespaces import enter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.host import Host
    from testbed.topology import HostPlan, Plan


def hosts_file(plan: Plan) -> str:
    """The names every host resolves; nothing asks a resolver outside."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{address} {name}" for name, found in plan.names.items() for address in found]
    return "\n".join(lines) + "\n"


def connect(plan: Plan, pids: Mapping[str, int], builder: Host) -> None:
    """Lay the cables and configure every host; `builder` runs the commands that join two hosts."""
    # Process ids name namespaces here, so this shell stays in the builder's PID namespace.
    done = subprocess.run(
        [*enter(builder.pid, "net"), "sh", "-e"],
        input="\n".join(_cables(plan, pids)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BedError(f"cannot lay the cables: {done.stderr.strip()}")


def host_script(host: HostPlan) -> str:
    """Configure one host's own interfaces, in the order in which each step is possible."""
    return "\n".join([*_bridges(host), *_addresses(host), *_routes(host)])


def _cables(plan: Plan, pids: Mapping[str, int]) -> Iterator[str]:
    for number, cable in enumerate(plan.cables):
        a, b = f"a{number}", f"b{number}"
        yield f"ip link add {a} type veth peer name {b}"
        for temporary, end in ((a, cable.a), (b, cable.b)):
            yield f"ip link set {temporary} netns {pids[end.host]} name {end.interface}"


def _bridges(host: HostPlan) -> Iterator[str]:
    for interface in host.interfaces:
        if not interface.ports:
            continue
        yield f"ip link add {interface.name} type bridge"
        for port in interface.ports:
            yield f"ip link set {port} master {interface.name}"


def _addresses(host: HostPlan) -> Iterator[str]:
    for interface in host.interfaces:
        for address in interface.addresses:
            # Duplicate address detection would hold an IPv6 address back for a second.
            flags = " nodad" if address.version == 6 else ""  # noqa: PLR2004 - IP versions
            yield f"ip address add {address} dev {interface.name}{flags}"
        yield f"ip link set {interface.name} up"


def _routes(host: HostPlan) -> Iterator[str]:
    for route in host.routes:
        yield f"ip -{route.to.version} route add {route.to} via {route.via}"
