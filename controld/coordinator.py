"""What the two ends of a session tell controld: each message becomes a step of the session.

Each step is committed before anybody hears of it; what is said twice is handled once or changes
nothing. How a start comes about is in `session_starts`, renewal and end are in `session_keeper`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import sessions, store_audit
from controld.records import OPEN_STATES, Actor, Session, SessionState
from controld.session_parties import Parties, session_of
from controld.session_starts import Starts
from controld.store_sessions import open_sessions_of_gateway
from rclib.wire.control import (
    AuditBatch,
    AuditHead,
    GatewayState,
    PathSignal,
    ReleasePending,
    SessionAnswer,
    SessionEnd,
    SessionEnded,
    SessionProgress,
    SessionRefusal,
    SessionRelease,
    TicketRedeem,
)
from rclib.wire.ids import EndpointId, GatewayId
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.admissions import Admissions
    from controld.audit_notary import Notary
    from controld.config import TimesConfig
    from controld.fleet import Fleet
    from controld.records import LinkIdentity
    from controld.session_keeper import Keeper
    from controld.store import Store, Tx
    from rclib.wire.control import Body
    from rclib.wire.ids import SessionId


class LinkProtocolError(Exception):
    """The endpoint sent what its kind never sends; its link is closed."""


class Coordinator:
    """Turns link messages into steps of sessions, and steps into link messages."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        admissions: Admissions,
        times: TimesConfig,
        now_ms: Callable[[], int],
        notary: Notary,
        keeper: Keeper,
    ) -> None:
        self._fleet = fleet
        self._hub = fleet.hub
        self._now_ms = now_ms
        self._notary = notary
        self._keeper = keeper
        self._parties = Parties(store, fleet, now_ms)
        self._starts = Starts(self._parties, keeper, fleet.hub, admissions, times, now_ms)

    async def handle(self, sender: LinkIdentity, body: Body) -> None:
        """Do what a message asks for; returning means it may be acknowledged.

        Raises LinkProtocolError, SupersededError, StoreUnavailableError.
        """
        is_gateway = sender.user is None
        match body:
            case TicketRedeem() if not is_gateway:
                await self._starts.redeem(sender, body)
            case ReleasePending() if is_gateway:
                await self._starts.note_pending(sender, body)
            case SessionRelease() if is_gateway:
                await self._starts.release(sender, body)
            case SessionAnswer() if is_gateway:
                await self._starts.answer(sender, body)
            case SessionRefusal():
                await self._on_refusal(sender, body)
            case SessionProgress():
                await self._on_progress(sender, body)
            case PathSignal():
                await self._on_path_signal(sender, body)
            case SessionEnd() if not is_gateway:
                await self._on_end(sender, body.session, EndReason.TECHNICIAN)
            case SessionEnded():
                await self._on_end(sender, body.session, body.reason)
            case GatewayState() if is_gateway:
                await self._on_gateway_state(sender, body)
            case AuditHead() if is_gateway:
                await self._notary.compare(sender, body)
            case AuditBatch():
                await self._on_audit(sender, body)
            case _:
                kind = "gateway" if is_gateway else "client"
                raise LinkProtocolError(f"a {kind} does not send {type(body).__name__}")

    async def _on_refusal(self, sender: LinkIdentity, body: SessionRefusal) -> None:
        if await self._parties.session_of(sender, body.session) is not None:
            actor = Actor(sender.endpoint, sender.name)
            await self._keeper.turn_away(body.session, body.reason, body.detail, actor)

    async def _on_progress(self, sender: LinkIdentity, body: SessionProgress) -> None:
        now_ms = self._now_ms()
        actor = Actor(sender.endpoint, sender.name)

        def work(tx: Tx) -> Session | None:
            session = session_of(tx, sender, body.session)
            if session is None or not session.answered or session.state not in OPEN_STATES:
                return None
            return sessions.progress(tx, session, body.path, actor, now_ms)

        if await self._parties.write(sender, work) is None:
            await self._parties.correct(sender, body.session)

    async def _on_path_signal(self, sender: LinkIdentity, body: PathSignal) -> None:
        """Hand it on as it is, to an end that is there; what it says is between the two ends."""
        session = await self._parties.session_of(sender, body.session)
        if session is None or session.client is None or session.state not in OPEN_STATES:
            return
        ends = {EndpointId(session.gateway), EndpointId(session.client)}
        for other in ends - {sender.endpoint}:
            if self._hub.is_linked(other):
                self._hub.send(other, body)

    async def _on_end(self, sender: LinkIdentity, session: SessionId, reason: EndReason) -> None:
        now_ms = self._now_ms()
        actor = Actor(sender.endpoint, sender.name)

        def work(tx: Tx) -> tuple[Session | None, bool]:
            found = session_of(tx, sender, session)
            if found is None:
                return None, False
            # An end that closed an earlier start, as it was told, says nothing about this one.
            if found.state not in OPEN_STATES or reason is EndReason.TARGETS_CHANGED:
                return None, True
            return sessions.end(tx, found, reason, actor, now_ms), True

        ended, is_known = await self._parties.write(sender, work)
        if not is_known:
            await self._parties.record_foreign(sender, session)
        elif ended is not None:
            self._keeper.tell_end(ended, but=sender.endpoint)

    async def _on_gateway_state(self, sender: LinkIdentity, body: GatewayState) -> None:
        """Reconcile: what is open there and not here ends there, and the other way round."""
        now_ms = self._now_ms()
        actor = Actor(sender.endpoint, sender.name)

        def work(tx: Tx) -> tuple[list[SessionId], list[Session]]:
            gateway = GatewayId(sender.endpoint)
            here = {session.id: session for session in open_sessions_of_gateway(tx, gateway)}
            lost = [
                sessions.end(tx, session, EndReason.GATEWAY_GONE, actor, now_ms)
                for session in here.values()
                if session.state is SessionState.ACTIVE and session.id not in body.sessions
            ]
            strangers = [session for session in body.sessions if session not in here]
            self._fleet.keep_state(tx, sender, body)
            return strangers, [session for session in lost if session is not None]

        strangers, lost = await self._parties.write(sender, work)
        self._hub.note_state(sender.endpoint, body)
        for stranger in strangers:
            self._hub.send(sender.endpoint, SessionEnd(stranger, EndReason.LEASE_ENDED))
        for session in lost:
            self._keeper.tell_end(session, but=sender.endpoint)

    async def _on_audit(self, sender: LinkIdentity, body: AuditBatch) -> None:
        now_ms = self._now_ms()
        await self._parties.write(
            sender,
            lambda tx: store_audit.append_uploaded(
                tx, sender.endpoint, sender.organisation, body.events, now_ms
            ),
        )
