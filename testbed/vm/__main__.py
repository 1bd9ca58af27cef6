"""`python -m testbed.vm [--timeout S] COMMAND...` runs a command under Debian's own kernel.

The command sees the files of this machine, read-only, and a layer in memory over them. Its output
is shown as it comes; its exit status is the exit status of this program, 125 if there was none.
"""

from __future__ import annotations

import argparse
import sys
import time

from testbed.errors import BedError
from testbed.vm.machine import Hardware, Machine

NO_STATUS = 125
TIMEOUT_S = 15 * 60.0


def main() -> int:
    defaults = Hardware()
    parser = argparse.ArgumentParser(prog="python -m testbed.vm", description=__doc__)
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS")
    parser.add_argument("--cpus", type=int, default=defaults.cpus)
    parser.add_argument("--memory", type=int, default=defaults.memory_mib, metavar="MIB")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="found on the PATH of this venv")
    arguments = parser.parse_args()
    command = arguments.command
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        parser.error("no command")
    environment = dict(each.split("=", 1) for each in arguments.env)
    hardware = Hardware(cpus=arguments.cpus, memory_mib=arguments.memory)
    started = time.monotonic()
    try:
        with Machine(command, hardware=hardware, environment=environment) as machine:
            status = machine.wait(arguments.timeout)
    except BedError as error:
        print(f"vm: {error}", file=sys.stderr)
        return NO_STATUS
    print(f"vm: done after {time.monotonic() - started:.0f} s, exit status {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
