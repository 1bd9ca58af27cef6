"""The heads of the control plane's record that this gateway was given, on its own disk.

controld signs how far its record reaches. Who cuts that record off, or puts an older copy back,
cannot take the heads back from the gateways: `controld audit verify --heads` compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from rclib.runtime.errors import StartError
from rclib.runtime.files import append_durably, read_whole_lines, write_atomic
from rclib.wire.codec import decode_json
from rclib.wire.control import AuditHead
from rclib.wire.identity import audit_head_statement, is_signed_by

if TYPE_CHECKING:
    from pathlib import Path

MAX_HEADS: Final = 500
"""The newest ones; older ones only say where in the past a fork began."""
MAX_FILE_BYTES: Final = 1024 * 1024


class AuditHeads:
    """One JSON head a line, oldest first; the caller is the only writer."""

    def __init__(self, path: Path) -> None:
        """Raises StartError for a file that cannot be read."""
        self._path = path
        try:
            lines = read_whole_lines(path, MAX_FILE_BYTES)
            self._heads = [decode_json(_decoder, path.name, line) for line in lines]
        except (OSError, ValueError) as exc:
            raise StartError(
                f"{path} cannot be used: {exc}; keep a copy for the auditor, remove the file and "
                "start again"
            ) from None

    @property
    def newest(self) -> AuditHead | None:
        return self._heads[-1] if self._heads else None

    def keep(self, head: AuditHead) -> str:
        """Store a head durably; what is wrong with it, if it is not kept. Raises OSError."""
        statement = audit_head_statement(head.seq, head.at_ms, head.chain_hash)
        if not is_signed_by(head.log_key, statement, head.signature):
            return "its signature is not good"
        newest = self.newest
        if newest is not None:
            if head.log_key != newest.log_key:
                return "it is signed by another key than all heads before"
            if head.seq == newest.seq and head.chain_hash == newest.chain_hash:
                return ""
            if head.seq <= newest.seq:
                return f"it is about row {head.seq}, but row {newest.seq} was signed before"
        self._write(head)
        return ""

    def _write(self, head: AuditHead) -> None:
        if len(self._heads) >= MAX_HEADS:
            self._heads = [*self._heads[-MAX_HEADS // 2 :], head]
            write_atomic(self._path, b"".join(_line(each) for each in self._heads))
            return
        append_durably(self._path, _line(head))
        self._heads.append(head)


_decoder: Final = msgspec.json.Decoder(AuditHead)


def _line(head: AuditHead) -> bytes:
    return msgspec.json.encode(head) + b"\n"
