"""The host's own DNS resolver on bad days: `silent`, `nxdomain`, or one IPv4 address for all names.

RFC 1035: one question in, one answer out.
"""

from __future__ import annotations

import ipaddress
import socket
import sys

from testbed.tools.line import say

PORT = 53
_ANSWER, _NO_SUCH_NAME = 0x8180, 0x8183
_A, _TTL_S = 1, 60


def answer(query: bytes, mode: str) -> bytes | None:
    """The answer in this mode; none while it is silent."""
    if mode == "silent":
        return None
    end = query.index(b"\0", 12) + 5
    question, kind = query[12:end], int.from_bytes(query[end - 4 : end - 2], "big")
    head = query[:2]
    if mode == "nxdomain":
        return head + _NO_SUCH_NAME.to_bytes(2, "big") + bytes((0, 1, 0, 0, 0, 0, 0, 0)) + question
    count = 1 if kind == _A else 0
    reply = head + _ANSWER.to_bytes(2, "big") + bytes((0, 1, 0, count, 0, 0, 0, 0)) + question
    if count:
        address = ipaddress.IPv4Address(mode).packed
        reply += b"\xc0\x0c" + bytes((0, _A, 0, 1)) + _TTL_S.to_bytes(4, "big")
        reply += len(address).to_bytes(2, "big") + address
    return reply


def main() -> None:
    mode = sys.argv[1]
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.bind(("127.0.0.1", PORT))
    say("ready")
    while True:
        query, peer = asked.recvfrom(512)
        reply = answer(query, mode)
        if reply is not None:
            asked.sendto(reply, peer)


if __name__ == "__main__":
    main()
