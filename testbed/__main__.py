"""`python -m testbed check`: can this machine run one? `up`: build one and keep it."""

from __future__ import annotations

import argparse
import signal
import sys

from testbed.bed import Testbed
from testbed.errors import BedError
from testbed.nat import NatKind
from testbed.requirements import why_not
from testbed.topology import PlantSpec, TechSpec, Topology


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say whether this machine can run a testbed")
    up = commands.add_parser("up", help="build a testbed and keep it until Ctrl-C")
    for side in ("plant", "tech"):
        up.add_argument(
            f"--nat-{side}",
            type=NatKind,
            choices=list(NatKind),
            default=NatKind.PORT_PRESERVING,
            help="how the router treats traffic (default: %(default)s)",
        )
    arguments = parser.parse_args()

    reason = why_not()
    if reason is not None:
        print(f"testbed: {reason}", file=sys.stderr)
        return 1
    if arguments.command == "check":
        print("testbed: this machine has all it needs")
        return 0
    plant, technician = PlantSpec(nat=arguments.nat_plant), TechSpec(nat=arguments.nat_tech)
    return _stay_up(Topology(plants=(plant,), technicians=(technician,)))


def _stay_up(topology: Topology) -> int:
    signals = {signal.SIGINT, signal.SIGTERM}
    try:
        with Testbed.build(topology) as bed:
            # Blocked only now: programs in the hosts inherit the mask and must stay stoppable.
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            for host in bed.hosts.values():
                addresses = " ".join(map(str, host.addresses))
                print(f"{host.name:<14}{addresses}", flush=True)
            print(f"logs: {bed.directory / 'logs'}; end with Ctrl-C", flush=True)
            signal.sigwait(signals)
    except BedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
