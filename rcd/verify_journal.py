"""`rcd verify-journal FILE KEY`: check an exported journal, on any machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rclib.wire.identity import fingerprint
from rclib.wire.ids import IdentityKey
from rclib.wire.journal import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = "verify-journal"
_KEY_BYTES = 32


def main(argv: Sequence[str]) -> int:
    """Returns 0 if every line is the gateway's own and in its place, 1 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(prog=f"rcd {COMMAND}", description=__doc__)
    parser.add_argument("file", type=Path, help="the export of the AMS page")
    parser.add_argument("key", help="the gateway's identity key, in hex, as the export names it")
    arguments = parser.parse_args(argv)
    try:
        key = IdentityKey(bytes.fromhex(arguments.key))
        lines = arguments.file.read_bytes().splitlines()
    except (ValueError, OSError) as exc:
        sys.stderr.write(f"rcd {COMMAND}: {exc}\n")
        return 2
    if len(key) != _KEY_BYTES:
        sys.stderr.write(f"rcd {COMMAND}: the key has {_KEY_BYTES * 2} hex digits\n")
        return 2
    result = verify(lines, key)
    sys.stdout.write(f"signed by  {fingerprint(key)}\n")
    sys.stdout.write("compare this with the fingerprint on the gateway's own page\n")
    sys.stdout.write(f"events     {result.first_seq} to {result.last_seq}\n")
    if result.fault is not None:
        sys.stdout.write(f"BROKEN     {result.fault}\n")
        return 1
    sys.stdout.write("intact     each line follows from the one before\n")
    return 0
