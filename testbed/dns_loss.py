"""T26 in full: half an hour of DNS loss at the gateway, with a session open all the time.

`python -m testbed.dns_loss [--minutes 30]` or `make soak`. Both networks are behind symmetric NATs,
so that every packet goes by relay, through the event loops of rcd and rcc: an answer within
LAG_MS says that neither waited for a name. One mode of loss follows the other; in each, controld
is killed and started again, and the gateway's link has to come back. The last line is one JSON
object; the exit status is 1 where it did not go well.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from testbed.bed import Testbed
from testbed.errors import BedError
from testbed.nat import NatKind
from testbed.requirements import why_not
from testbed.story import ECHO, PLC, Story
from testbed.topology import Role
from testbed.waiting import until

if TYPE_CHECKING:
    from testbed.process import Process

BACK_S: Final = 60
"""The longest pause between two attempts is 30 s, and one attempt takes at most 10."""
LAG_MS: Final = 250
EVERY_S: Final = 20.0
MODES: Final = ("silent", "nxdomain", "127.0.0.1")
"""The last one leads to somebody whose certificate is of our own CA, for another name."""


class Names:
    """What the gateway's names lead to; as it was at the end."""

    def __init__(self, story: Story) -> None:
        etc = story.bed.directory / "etc"
        self._hosts, self._resolv = etc / "gateway.hosts", etc / "resolv.conf"
        self._before = self._hosts.read_text()
        self._gateway = story.bed.host("gateway")
        self._resolver: Process | None = None

    def answer(self, mode: str) -> None:
        """Only the resolver is asked from now on; see `testbed.tools.resolver`."""
        if self._resolver is not None:
            self._resolver.stop()
        self._resolver = self._gateway.tool("resolver", mode)
        # In place: the hosts see these very files.
        self._hosts.write_text("127.0.0.1 localhost\n")
        self._resolv.write_text("nameserver 127.0.0.1\n")

    def restore(self) -> None:
        self._hosts.write_text(self._before)
        self._resolv.write_text("")
        if self._resolver is not None:
            self._resolver.stop()


def start_impostor(story: Story) -> Process:
    """Somebody on the gateway's own port 443, with a certificate of our CA for other names."""
    impostor = story.suite.start_relay("relay0", "gateway", 443)
    story.bed.host("gateway").wait_port(443)
    return impostor


def lose_controld(story: Story) -> float:
    """Kill controld and start it again, reading the PLC; returns seconds until the link is back."""
    rcd = story.suite.processes["gateway:rcd"]
    ups = rcd.log.read_text().count('"link_up"')
    controld = story.suite.processes["cloud:controld"]
    controld.send_signal(signal.SIGKILL)
    controld.wait(10)
    story.suite.start_controld()
    story.bed.host(Role.CLOUD).wait_port(443)
    there = time.monotonic()
    story.read_plc()
    until(lambda: rcd.log.read_text().count('"link_up"') > ups, BACK_S, "the link to be back")
    return time.monotonic() - there


def soak(story: Story, minutes: float, every_s: float = EVERY_S) -> dict[str, Any]:
    """A loss every so often; returns the figures. BedError: the session or the link was lost."""
    technician = story.bed.host("technician")
    streams = {
        kind: technician.tool("stream", kind, PLC, str(ECHO), str(LAG_MS / 1000))
        for kind in ("tcp", "udp")
    }
    for stream in streams.values():
        stream.wait_message("answer")
    names = Names(story)
    impostor = start_impostor(story)
    back_s: list[float] = []
    until_s = time.monotonic() + minutes * 60
    try:
        while (began := time.monotonic()) < until_s:
            names.answer(MODES[len(back_s) % len(MODES)])
            back_s.append(lose_controld(story))
            state = until(lambda: story.session_state()["state"], 10, "controld to answer")
            story.read_plc()
            if state != "active":
                raise BedError(f"the session is {state} after loss {len(back_s)}")
            say = f"loss {len(back_s)}, {MODES[(len(back_s) - 1) % len(MODES)]}"
            print(f"{say}: the link was back after {back_s[-1]:.1f} s", file=sys.stderr, flush=True)
            time.sleep(max(0.0, began + every_s - time.monotonic()))
    finally:
        names.restore()
        impostor.stop()
        for stream in streams.values():
            stream.stop()
    return {
        "minutes": minutes,
        "losses": len(back_s),
        "link_back_s": {"median": statistics.median(back_s), "longest": max(back_s)},
        "path": story.path_details().get("kind"),
        "streams": {kind: _told(stream) for kind, stream in streams.items()},
    }


def _told(stream: Process) -> dict[str, float]:
    said = stream.messages()
    took = sorted(each["took_ms"] for each in said if each["event"] == "answer")
    asked = 1 + max(each["number"] for each in said if "number" in each)
    return {
        "answers": len(took),
        "unanswered": asked - len(took),
        f"later_than_{LAG_MS}_ms": sum(each > LAG_MS for each in took),
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[len(took) * 99 // 100],
        "longest_ms": took[-1],
        "ended": sum(each["event"] == "ended" for each in said),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m testbed.dns_loss", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    reason = why_not()
    if reason is not None:
        sys.stderr.write(f"dns_loss: cannot build the testbed here: {reason}\n")
        return 2
    try:
        with Testbed.build() as bed:
            for router in ("plant_nat", "tech_nat"):
                bed.set_nat(router, NatKind.SYMMETRIC)
            story = Story(bed)
            story.commission()
            story.turn_on()
            story.prepare(("tcp", ECHO), ("udp", ECHO))
            story.start()
            figures = soak(story, minutes)
            story.turn_off()
    except BedError as error:
        sys.stderr.write(f"dns_loss: {error}\n")
        return 1
    print(json.dumps({"dns_loss": figures}))
    lost = sum(
        each["ended"] + each[f"later_than_{LAG_MS}_ms"] for each in figures["streams"].values()
    )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
