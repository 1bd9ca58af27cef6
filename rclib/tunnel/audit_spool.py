"""An end's own record of what it did, on disk until the control plane has stored it.

One JSON line per event, fsynced before the call returns. Events carry a gap-free number, so
that one that was lost shows. The newest line always stays: it holds the number to go on from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.runtime.errors import StartError
from rclib.runtime.files import append_durably, read_whole_lines, write_atomic
from rclib.wire.audit import MAX_BATCH, AuditAction, AuditEvent, decode_event, encode_event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rclib.wire.ids import SessionId

MAX_SPOOL_BYTES: Final = 16 * 1024 * 1024
"""About a hundred thousand events; a fuller spool takes none, and then no session starts."""
TRIM_BYTES: Final = 256 * 1024
MAX_DETAIL_CHARACTERS: Final = 500


class SpoolFullError(OSError):
    """The spool has reached its bound: the control plane has stored nothing for too long."""


class AuditSpool:
    """The spool of one end, in one file; the caller is its only writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events = _read(path)
        self._stored = 0
        self._size = path.stat().st_size if self._events else 0

    @property
    def last_seq(self) -> int:
        return self._events[-1].seq if self._events else 0

    def append(
        self,
        action: AuditAction,
        *,
        at_ms: int,
        session: SessionId | None = None,
        actor: str = "",
        detail: Mapping[str, str] | None = None,
    ) -> AuditEvent:
        """Record one event, durably; raises OSError, and then nothing was recorded."""
        clipped = {key: value[:MAX_DETAIL_CHARACTERS] for key, value in (detail or {}).items()}
        event = AuditEvent(self.last_seq + 1, at_ms, action, session, actor[:80], clipped)
        line = encode_event(event) + b"\n"
        if self._size + len(line) > MAX_SPOOL_BYTES:
            raise SpoolFullError(f"{self._path} is full; bring the control plane back")
        append_durably(self._path, line)
        self._events.append(event)
        self._size += len(line)
        return event

    def batch(self) -> tuple[AuditEvent, ...]:
        """The oldest events the control plane is not known to have."""
        return tuple([e for e in self._events if e.seq > self._stored][:MAX_BATCH])

    def stored(self, seq: int) -> None:
        """The control plane has everything up to `seq`; a number we never gave is ignored."""
        if not self._stored < seq <= self.last_seq:
            return
        self._stored = seq
        kept = [e for e in self._events if e.seq > seq] or self._events[-1:]
        if len(kept) == 1 or self._size > TRIM_BYTES:
            data = b"".join(encode_event(e) + b"\n" for e in kept)
            write_atomic(self._path, data)
            self._events, self._size = kept, len(data)


def _read(path: Path) -> list[AuditEvent]:
    try:
        return [decode_event(line) for line in read_whole_lines(path, MAX_SPOOL_BYTES)]
    except (OSError, ValueError) as exc:
        raise StartError(
            f"{path} cannot be used: {exc}; move it aside for inspection and start again"
        ) from None
