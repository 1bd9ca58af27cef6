"""Independent eyes: tcpdump files and nftables counters."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

from testbed.errors import BedError
from testbed.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.host import Host

_numbers = count(1)
_LISTEN_S = 10.0


class Capture:
    """A running tcpdump; packets count from the moment the constructor returns."""

    def __init__(self, host: Host, interface: str, packets: str, directory: Path) -> None:
        self.path = directory / f"capture{next(_numbers)}.pcap"
        command = ["tcpdump", "-U", "--immediate-mode", "-n", "-s0", "-Z", "root", "-i", interface]
        command += ["-w", str(self.path), *packets.split()]
        self._process = host.popen(command, name="tcpdump")
        until(self._listens, _LISTEN_S, f"tcpdump on {host.name} {interface}")

    def _listens(self) -> bool:
        ended = self._process.poll() is not None
        said = self._process.log.read_text()
        if ended:
            # Without root tcpdump stops here: it insists on changing its groups.
            raise BedError(f"tcpdump cannot capture here: {said.strip()}; run as root, or count")
        return "listening on" in said

    def stop(self) -> bytes:
        """End the capture and return the file's bytes."""
        self._process.stop()
        return self.path.read_bytes()


class Counter:
    """An nftables counter in a table of its own, ahead of everybody else's rules."""

    def __init__(self, host: Host, rule: str) -> None:
        self._host = host
        self._table = f"count{next(_numbers)}"
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority -500; {rule} counter name hits; }}\n"
            for hook in ("prerouting", "output")
        )
        text = f"table inet {self._table} {{\ncounter hits {{ }}\n{chains}}}\n"
        host.run(["nft", "-f", "-"], stdin=text, check=True)

    @property
    def packets(self) -> int:
        listed = self._host.run(
            ["nft", "-j", "list", "counter", "inet", self._table, "hits"], check=True
        )
        (counter,) = (o["counter"] for o in json.loads(listed.stdout)["nftables"] if "counter" in o)
        return int(counter["packets"])
