"""rcd's local API: the switch and the view for the plant's page (docs/protocol/local.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rcd.connection_check import ConnectionCheck
from rclib.runtime.clock import boottime
from rclib.runtime.local import Connection, LocalProtocolError, PeerGone
from rclib.tunnel.enrolment import EnrolmentFailedError, enrol
from rclib.wire.access import AccessMode
from rclib.wire.audit import AuditAction
from rclib.wire.errors import DecodeError
from rclib.wire.local import (
    MAX_FLOWS,
    CheckConnection,
    EndSession,
    Enrol,
    Failed,
    GateState,
    GetStatus,
    JournalPage,
    LoginOutcome,
    ReadJournal,
    RecordLogin,
    Refuse,
    Release,
    Request,
    RequestError,
    Response,
    SessionStatus,
    SetAccess,
    Status,
    WaitingRelease,
    decode_request,
    encode,
)
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from pathlib import Path

    from rcd.daemon import Daemon
    from rcd.journal import Journal
    from rcd.records import Records
    from rcd.releases import Waiting
    from rcd.sessions import Session
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.gate import Flows
    from rclib.wire.session import PathStatus

MAX_PAGE_BYTES: Final = 24 * 1024
"""Of journal lines, before JSON escapes their quotes: an answer is a line of 64 KiB at most."""

_LOGINS: Final = {
    LoginOutcome.SUCCEEDED: AuditAction.AMS_LOGIN_SUCCEEDED,
    LoginOutcome.FAILED: AuditAction.AMS_LOGIN_FAILED,
    LoginOutcome.PASSWORD_CHANGED: AuditAction.AMS_PASSWORD_CHANGED,
}


_NOT_WAITING: Final = Failed(
    RequestError.NOT_WAITING, "this technician no longer waits for a release"
)


class LocalApi:
    """Answers one request after the other on each connection."""

    def __init__(
        self,
        daemon: Daemon,
        records: Records,
        journal: Journal,
        state_dir: Path,
        uplink: Uplink,
    ) -> None:
        self._daemon = daemon
        self._records = records
        self._journal = journal
        self._state_dir = state_dir
        self._uplink = uplink
        self._check = ConnectionCheck(uplink, records)

    async def serve(self, connection: Connection) -> None:
        try:
            while (line := await connection.receive()) is not None:
                await connection.send(encode(await self._answer(line)))
        except LocalProtocolError as exc:
            await connection.send(encode(Failed(RequestError.MALFORMED, str(exc))))
        except PeerGone:
            pass  # a browser tab was closed; nothing hangs on its answer

    async def _answer(self, line: bytes) -> Response:
        try:
            request = decode_request(line)
        except DecodeError as exc:
            return Failed(RequestError.MALFORMED, str(exc))
        try:
            return await self._carry_out(request)
        except OSError as exc:
            return Failed(
                RequestError.STORAGE,
                f"the gateway's disk does not take it ({exc.strerror or exc}); "
                "make room and try again",
            )

    async def _carry_out(self, request: Request) -> Response:
        match request:
            case GetStatus():
                pass
            case ReadJournal(after):
                lines = self._journal.lines_after(after, MAX_PAGE_BYTES)
                return JournalPage(tuple(line.decode() for line in lines))
            case CheckConnection():
                own = self._daemon.link.enrolment
                return await self._check.carry_out(
                    request, own.server if own else None, is_on=self._daemon.is_on
                )
            case SetAccess(AccessMode.OFF, by):
                await self._daemon.turn_off(by)
            case SetAccess(mode, by, duration_s):
                if (mode is AccessMode.ON_UNTIL) is (duration_s is None):
                    return Failed(
                        RequestError.MALFORMED, "duration_s belongs to on_until, and only there"
                    )
                await self._daemon.turn_on(duration_s, by)
            case EndSession(session, by):
                if self._daemon.sessions.get(session) is None:
                    return Failed(RequestError.UNKNOWN_SESSION, "this session is not open here")
                await self._daemon.end(session, EndReason.PLANT_KILLED, actor=by)
            case Release(session, by, duration_s):
                if not self._daemon.release(session, by, duration_s):
                    return _NOT_WAITING
            case Refuse(session, by):
                if not self._daemon.refuse_release(session, by):
                    return _NOT_WAITING
            case Enrol(server, code, by):
                failed = await self._enrol(server, code, by)
                if failed is not None:
                    return failed
            case RecordLogin(outcome, by):
                self._records.write(_LOGINS[outcome], actor=by)
        return self.status()

    async def _enrol(self, server: str, code: str, by: str) -> Failed | None:
        if self._daemon.link.enrolment is not None:
            return Failed(
                RequestError.ALREADY_ENROLLED,
                f"this gateway belongs to {self._daemon.link.enrolment.server}",
            )
        identity = self._daemon.identity
        try:
            enrolment = await enrol(self._state_dir, identity, server, code, self._uplink)
        except EnrolmentFailedError as exc:
            return Failed(RequestError.ENROL_FAILED, str(exc))
        self._records.write(
            AuditAction.ENROLMENT_REDEEMED,
            actor=by,
            detail={"server": enrolment.server, "endpoint": enrolment.endpoint},
        )
        self._daemon.enrolled(enrolment)
        return None

    def status(self) -> Status:
        daemon, now = self._daemon, boottime()
        state, enrolment = daemon.access.state, daemon.link.enrolment
        return Status(
            access=state.mode,
            is_on=daemon.is_on,
            remaining_s=daemon.access.remaining_s(now),
            changed_by=state.changed_by,
            changed_ms=state.changed_ms,
            link=daemon.link.state,
            gate=GateState.READY if daemon.gate.is_ready else GateState.UNREACHABLE,
            fingerprint=daemon.identity.fingerprint,
            link_detail=daemon.link.detail[:500],
            gate_detail=daemon.gate.detail[:500],
            endpoint=enrolment.endpoint if enrolment else None,
            name=enrolment.name if enrolment else "",
            organisation=enrolment.organisation if enrolment else "",
            server=enrolment.server if enrolment else "",
            identity_key=daemon.identity.public,
            journal_seq=self._journal.last_seq,
            sessions=tuple(
                _shown(
                    session,
                    daemon.tunnels.path(session.offer.session),
                    daemon.flow_record.flows(session.offer.session),
                    now,
                )
                for session in daemon.sessions.open
            ),
            waiting=tuple(_waiting(waiting, now) for waiting in daemon.releases.waiting),
            release_required=daemon.releases.is_required,
            key_switch=daemon.key_switch.state,
            key_switch_detail=daemon.key_switch.detail[:500],
        )


def _shown(session: Session, path: PathStatus | None, flows: Flows, now: float) -> SessionStatus:
    offer = session.offer
    used = sorted(flows.devices, key=lambda each: -(each.to_bytes + each.from_bytes))
    return SessionStatus(
        session=offer.session,
        name=offer.name,
        user=offer.technician.user,
        organisation=offer.technician.organisation,
        reason=offer.reason,
        targets=offer.targets,
        path=session.path,
        since_ms=session.since_ms,
        lease_remaining_s=max(0.0, session.lease_until - now),
        remaining_s=max(0.0, session.not_after - now),
        received_bytes=session.received_bytes,
        sent_bytes=session.sent_bytes,
        path_details=path,
        reference=offer.reference,
        released_by=session.released_by,
        flows=tuple(each for each in used[:MAX_FLOWS] if each.first_age_s is not None),
        refused_packets=flows.refused_packets,
    )


def _waiting(waiting: Waiting, now: float) -> WaitingRelease:
    offer = waiting.offer
    return WaitingRelease(
        session=offer.session,
        name=offer.name,
        user=offer.technician.user,
        organisation=offer.technician.organisation,
        client=offer.technician.client,
        identity_key=offer.peer.identity_key,
        is_known=waiting.is_known,
        source=offer.technician.source,
        reason=offer.reason,
        reference=offer.reference,
        targets=offer.targets,
        since_ms=waiting.sent_ms,
        duration_s=waiting.duration_s(now),
        remaining_s=max(0.0, waiting.until - now),
    )
