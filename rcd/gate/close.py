"""`rcd-gate close`: shut everything, whatever still runs, is installed, or is configured.

systemd runs it after each end of rcd-gate, and so may anybody. It needs Python's own library, the
program nft, and netlink. Every step is tried, also after one that failed.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from rcd.gate.names import ALLOW_SETS, FLOW_MARK, PREFIX, TABLE, forwarding_switch, lent_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Lent = tuple[int, str]
"""IP version, and the interface forwarding was switched on for."""

_NFT_S: Final = 5.0
_ABSENT: Final = "No such file or directory"
_FORBIDDEN: Final = "Operation not permitted"

# linux/netlink.h, linux/rtnetlink.h, linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_REQUEST_AND_ACK: Final = 0x01 | 0x04
_HEADER: Final = struct.Struct("=IHHII")
_RTM_DELLINK: Final = 17
_CT_DELETE: Final = 1 << 8 | 2
_CTA_MARK, _CTA_MARK_MASK = 8, 21
_WHOLE_MARK: Final = 0xFFFFFFFF
_NETLINK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One step that did not work."""

    what: str
    error: OSError

    def __str__(self) -> str:
        return f"{self.what}: {self.error.strerror or self.error}"


def close_everything(lent: Collection[Lent] = ()) -> list[Fault]:
    """Remove grants, tunnels, forwarding (the table's and `lent`), connections, and the table.

    The table goes last, and stays if anything else does: no packet may meet a tunnel or a router
    without it.
    """
    faults: list[Fault] = []

    def attempt(what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as exc:
            faults.append(Fault(what, exc))

    attempt("emptying the allow-set", _empty_allow_set)
    interfaces: list[tuple[int, str]] = []
    attempt("listing the interfaces", lambda: interfaces.extend(socket.if_nameindex()))
    for index, name in interfaces:
        if name.startswith(PREFIX):
            attempt(f"removing {name}", partial(_delete_link, index))
    attempt("switching forwarding off", lambda: _stop_forwarding(lent))
    attempt("switching forwarding off", lambda: _stop_forwarding(_lent_by_table()))
    attempt("forgetting the tunnels' connections", _forget_flows)
    if not faults:
        attempt("removing the rules", _remove_table)
    return faults


def main() -> int:
    faults = close_everything()
    for fault in faults:
        sys.stderr.write(f"rcd-gate close: {fault}\n")
    return 1 if faults else 0


def _empty_allow_set() -> None:
    _nft("--file", "-", text="".join(f"flush set inet {TABLE} {name}\n" for name in ALLOW_SETS))


def _delete_link(index: int) -> None:
    # struct ifinfomsg: family, padding, type, index, flags, change
    _ask(_NETLINK_ROUTE, _RTM_DELLINK, struct.pack("=BxHiII", 0, 0, index, 0, 0))


def _lent_by_table() -> set[Lent]:
    """Read it from the table itself, which is as old as the lending."""
    listed = _nft("--json", "list", "table", "inet", TABLE)
    if not listed:
        return set()
    objects = json.loads(listed)["nftables"]
    sets = {each["set"]["name"]: each["set"] for each in objects if "set" in each}
    return {
        (version, interface)
        for version in (4, 6)
        for interface in sets.get(lent_set(version), {}).get("elem", ())
    }


def _stop_forwarding(lent: Collection[Lent]) -> None:
    for version, interface in lent:
        with suppress(FileNotFoundError):  # the interface is gone, and its switch with it
            forwarding_switch(version, interface).write_text("0")


def _forget_flows() -> None:
    # struct nfgenmsg: family (any), version, resource; without a tuple the mark selects.
    attributes = _attribute(_CTA_MARK, FLOW_MARK) + _attribute(_CTA_MARK_MASK, _WHOLE_MARK)
    _ask(_NETLINK_NETFILTER, _CT_DELETE, struct.pack("!BBH", 0, 0, 0) + attributes)


def _remove_table() -> None:
    # Deleting what is not there would fail the transaction.
    _nft("--file", "-", text=f"add table inet {TABLE}\ndelete table inet {TABLE}\n")


def _nft(*arguments: str, text: str = "") -> str:
    """Return what nft says; nothing if the table is not there. Raises OSError."""
    try:
        done = subprocess.run(
            ["nft", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=_NFT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(errno.ETIMEDOUT, f"nft did not answer within {_NFT_S:g} s") from None
    # Without privilege nft lists nothing and reports success.
    if _FORBIDDEN in done.stderr:
        raise PermissionError(errno.EPERM, "not permitted; it takes root or CAP_NET_ADMIN")
    if done.returncode and _ABSENT not in done.stderr:
        raise OSError(errno.EIO, f"nft: {' '.join(done.stderr.split())}")
    return "" if done.returncode else done.stdout


def _attribute(kind: int, value: int) -> bytes:
    # The header in the machine's byte order, as all of netlink; the mark in the network's.
    return struct.pack("=HH", 8, kind) + struct.pack("!I", value)


def _ask(protocol: int, kind: int, payload: bytes) -> None:
    """Have one request carried out; what is gone already is no error. Raises OSError."""
    size = _HEADER.size + len(payload)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(_NETLINK_S)
        kernel.send(_HEADER.pack(size, kind, _REQUEST_AND_ACK, 1, 0) + payload)
        answer = kernel.recv(4096)
    (status,) = struct.unpack_from("=i", answer, _HEADER.size)
    if status and -status not in {errno.ENODEV, errno.ENOENT}:
        raise OSError(-status, os.strerror(-status))


if __name__ == "__main__":
    sys.exit(main())
