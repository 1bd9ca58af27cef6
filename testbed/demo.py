"""`make demo`: the whole story, live, on this one machine.

With --once it ends by itself; the last line is one JSON object with what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from testbed.bed import Testbed
from testbed.errors import BedError
from testbed.requirements import why_not
from testbed.story import AMS_PASSWORD, HMI, MODBUS, UNRELEASED, Story
from testbed.tools.plc import MARK, MARK_AT

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FIRST_REPLY_MS = 1500
MAX_OFF_MS = 2000


@contextmanager
def step(text: str) -> Iterator[None]:
    """Tell what is being done, then how long it took."""
    if sys.stdout.isatty():  # in a file the line stands there once, when it is done
        sys.stdout.write(f"  … {text}")
        sys.stdout.flush()
    started = time.monotonic()
    yield
    over = "\r" if sys.stdout.isatty() else ""
    sys.stdout.write(f"{over}  ✓ {text}  ({time.monotonic() - started:.2f} s)\n")
    sys.stdout.flush()


def tell(story: Story) -> dict[str, object]:
    """Play the story; returns the figures."""
    with step("controld, relayd, stund in the cloud; rcd, rcd-gate, ams at the plant; rcc-gate"):
        story.start_programs()
    with step("the plant sets the AMS password and enrols its gateway with a one-time code"):
        story.enrol_gateway()
    with step("the technician's computer is enrolled"):
        story.enrol_technician()
    with step("the administrator prepares a session: Modbus of the PLC, for tina"):
        story.prepare()
    with step("plant staff switch remote access ON for four hours, on their page"):
        story.turn_on()
    with step("tina presses Start; rcc opens the tunnel through two NATs and the relay"):
        first_reply_ms = story.start()
    print(f"    first Modbus reply {first_reply_ms:.0f} ms after Start")
    with step("tina reads the PLC"):
        values = story.read_plc()["values"]
        mark = b"".join(v.to_bytes(2, "big") for v in values[MARK_AT : MARK_AT + len(MARK) // 2])
    print(f"    counter {values[0]}, text {mark.decode()!r}")
    with step("the two ends find each other: from the relay to the direct path"):
        direct_ms = story.wait_direct()
    print(f"    direct {direct_ms:.0f} ms after Start; the relay stands by")
    with step("tina reads the PLC again, directly"):
        is_read_directly = bool(story.read_plc()["values"])
    with step("what was not released stays shut: HMI, another device, another port"):
        counters = [
            story.bed.counter(name, f"ip daddr {address} ip saddr != {address}")
            for name, address in (("hmi", HMI), ("unreleased", UNRELEASED))
        ]
        tried = [(HMI, 80), (UNRELEASED, MODBUS), ("192.168.1.10", 4840), ("192.168.1.1", 8080)]
        reached = [story.knock(address, port) for address, port in tried]
        blocked = not any(reached) and all(counter.packets == 0 for counter in counters)
    path = story.session_state()["path"]
    with step("plant staff press OFF"):
        off_ms = story.turn_off()
    with step("the PLC is out of reach, the client has ended"):
        is_closed = not story.knock("192.168.1.10", MODBUS)
        story.client.wait(10)
    print(f"    closed {off_ms:.0f} ms after OFF")
    return {
        "plc_read_ok": mark == MARK and is_read_directly,
        "unreleased_blocked": blocked and is_closed,
        "path": path,
        "first_reply_ms": round(first_reply_ms),
        "direct_ms": round(direct_ms),
        "off_closed_ms": round(off_ms),
        "audit_rows": len(story.audit_rows()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    once = parser.parse_args().once
    reason = why_not()
    if reason is not None:
        sys.stderr.write(f"demo: cannot build the testbed here: {reason}\n")
        return 2
    print("remoteconnect: a plant, an internet and a technician on this machine")
    try:
        with step("network namespaces: two NATs, an internet, a plant with PLC and HMI"):
            bed = Testbed.build()
        with bed:
            story = Story(bed)
            figures = tell(story)
            if not once:
                stay(story)
    except BedError as exc:
        sys.stderr.write(f"\ndemo: {exc}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    good = bool(
        figures["plc_read_ok"]
        and figures["unreleased_blocked"]
        and float(str(figures["first_reply_ms"])) <= MAX_FIRST_REPLY_MS
        and float(str(figures["off_closed_ms"])) <= MAX_OFF_MS
    )
    print(json.dumps({"demo": figures}))
    return 0 if good else 1


def stay(story: Story) -> None:
    """Leave everything up, with its pages reachable from this machine's browser."""
    story.turn_on(0)
    print(f"\n  AMS page of the plant:  http://127.0.0.1:{story.ams_port}/")
    print(f"    password: {AMS_PASSWORD}")
    hmi = story.bed.doorway("hmi", 80)
    print(f"  HMI in the plant:       http://127.0.0.1:{hmi}/")
    print("  Ctrl-C ends it and removes everything.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
