"""The gateway's record: every event to spool and journal, the spool to controld in batches.

And the other way round: the heads of controld's record, kept for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.runtime.clock import wall_ms
from rclib.wire.audit import AuditAction
from rclib.wire.control import AuditBatch, Body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rcd.audit_heads import AuditHeads
    from rcd.journal import Journal
    from rclib.runtime.logs import Logger
    from rclib.tunnel.audit_spool import AuditSpool
    from rclib.wire.control import AuditHead
    from rclib.wire.ids import SessionId

AUDIT_WRITTEN = "audit_written"
AUDIT_FAILED = "audit_failed"


class Records:
    """Writes events to spool and journal; one batch at a time is on its way."""

    def __init__(self, spool: AuditSpool, journal: Journal, heads: AuditHeads, log: Logger) -> None:
        self._spool = spool
        self._journal = journal
        self.heads = heads
        self._log = log
        self._send: Callable[[Body], None] | None = None
        self._in_flight = False
        self.fault = ""
        """Why nothing can be recorded; while it stands, no session may start."""

    def write(
        self,
        action: AuditAction,
        *,
        session: SessionId | None = None,
        actor: str = "",
        detail: Mapping[str, str] | None = None,
    ) -> None:
        """Record one event. A failure closes nothing and opens nothing: see `fault`."""
        try:
            event = self._spool.append(
                action, at_ms=wall_ms(), session=session, actor=actor, detail=detail
            )
            # Also what an earlier failure left out of it.
            self._journal.catch_up((*self._spool.batch(), event))
        except OSError as exc:
            self.fault = f"the gateway cannot keep its record: {exc}"
            self._log.error(AUDIT_FAILED, action=action.value, reason=str(exc))
            return
        self.fault = ""
        self._log.info(
            AUDIT_WRITTEN,
            action=action.value,
            seq=event.seq,
            session=session,
            actor=actor,
            **event.detail,
        )
        self._upload()

    def stored(self, seq: int) -> None:
        """The control plane has everything up to `seq`."""
        self._in_flight = False
        try:
            self._spool.stored(seq)
        except OSError as exc:
            # Trimming can wait; what is stored twice is stored once over there.
            self._log.warning(AUDIT_FAILED, action="trim", reason=str(exc))

    def keep_head(self, head: AuditHead) -> None:
        """Keep a head; one that contradicts those before is refused, and that goes on record."""
        try:
            complaint = self.heads.keep(head)
        except OSError as exc:
            complaint = f"the gateway's disk takes no data: {exc.strerror or exc}"
        if complaint:
            detail = {"row": str(head.seq), "reason": complaint}
            self.write(AuditAction.AUDIT_HEAD_REFUSED, detail=detail)

    def begin_upload(self, send: Callable[[Body], None]) -> None:
        self._send = send
        self._upload()

    def stop_upload(self) -> None:
        self._send, self._in_flight = None, False

    def _upload(self) -> None:
        if self._send is None or self._in_flight:
            return
        batch = self._spool.batch()
        if batch:
            self._in_flight = True
            self._send(AuditBatch(batch))
