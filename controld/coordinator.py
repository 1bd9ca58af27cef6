"""What the two ends of a session tell controld, and what they are told.

Each step is committed before anybody hears of it; what is said twice is handled once or changes
nothing. In the order of a session's life: ticket, answer, progress, renewal, end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from controld import regions, session_messages, session_releases, sessions, store_audit
from controld.errors import NotFoundError
from controld.records import (
    CONTROLD,
    FINAL_STATES,
    OPEN_STATES,
    Actor,
    Entry,
    Session,
    SessionState,
)
from controld.session_messages import Ends, read_ends
from controld.store_sessions import get_session, last_region, open_sessions_of_gateway
from rclib.wire.audit import AuditAction
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
from rclib.wire.identity import Side, answer_key_statement, is_signed_by, offer_key_statement
from rclib.wire.ids import EndpointId, GatewayId
from rclib.wire.session import EndReason, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.admissions import Admissions
    from controld.audit_notary import Notary
    from controld.config import TimesConfig
    from controld.fleet import Fleet
    from controld.records import LinkIdentity
    from controld.store import Store, Tx
    from rclib.wire.control import Body
    from rclib.wire.ids import SessionId


T = TypeVar("T")


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
        on_end: Callable[[], None],
    ) -> None:
        self._notary = notary
        self._store = store
        self._fleet = fleet
        self._hub = fleet.hub
        self._admissions = admissions
        self._times = times
        self._now_ms = now_ms
        self._tell_relays = on_end
        """Called whenever a session may have ended."""

    async def handle(self, sender: LinkIdentity, body: Body) -> None:
        """Do what a message asks for; returning means it may be acknowledged.

        Raises LinkProtocolError, SupersededError, StoreUnavailableError.
        """
        is_gateway = sender.user is None
        match body:
            case TicketRedeem() if not is_gateway:
                await self._on_redeem(sender, body)
            case SessionAnswer() if is_gateway:
                await self._on_answer(sender, body)
            case ReleasePending() if is_gateway:
                await self._on_release_pending(sender, body)
            case SessionRelease() if is_gateway:
                await self._on_release(sender, body)
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

    # Steps that people and time cause.

    async def renew(self, session: Session) -> None:
        """Extend an active session's lease at both ends, with fresh admissions."""
        now_ms = self._now_ms()

        def work(tx: Tx) -> Ends | None:
            found = get_session(tx, session.id)
            # Another controld on the same database may have been first.
            is_as_seen = found.lease_until_ms == session.lease_until_ms
            if found.state is not SessionState.ACTIVE or not is_as_seen:
                return None
            return read_ends(tx, sessions.renew(tx, found, self._times, now_ms))

        ends = await self._store.write(work)
        if ends is None:
            return
        for endpoint, side in ((ends.gateway, Side.GATEWAY), (ends.client, Side.TECHNICIAN)):
            message = session_messages.renewal(ends, side, self._admissions, now_ms)
            self._hub.send(endpoint, message)

    async def end(
        self,
        session: SessionId,
        reason: EndReason,
        actor: Actor,
        only_if: Callable[[Session], bool] = lambda _: True,
    ) -> None:
        """End a session and tell its ends; one that has ended stays as it is.

        `only_if` is asked again in the transaction.
        """
        now_ms = self._now_ms()

        def work(tx: Tx) -> Session | None:
            found = get_session(tx, session)
            return sessions.end(tx, found, reason, actor, now_ms) if only_if(found) else None

        ended = await self._store.write(work)
        if ended is not None:
            self.tell_end(ended)

    async def give_up(self, session: Session) -> None:
        """End a start that the gateway has not answered."""
        detail = f"{session.gateway_name} did not answer; is it switched on and online?"
        refusal = SessionRefusal(session.id, RefusalReason.GATEWAY_OFFLINE, detail)
        await self._end_refused(refusal, CONTROLD)

    def tell_end(self, session: Session, *, but: EndpointId | None = None) -> None:
        """Tell the ends of a session that has ended, except the one that said so."""
        self.tell_closed(session, session.end_reason or EndReason.LEASE_ENDED, but=but)

    def tell_closed(
        self, session: Session, reason: EndReason, *, but: EndpointId | None = None
    ) -> None:
        """Tell the ends that this start of the session is over; the session may go on."""
        self._tell_relays()
        message = SessionEnd(session.id, reason)
        if session.client is None:
            return  # without a redeemed ticket neither end has heard of it
        for endpoint in (EndpointId(session.gateway), EndpointId(session.client)):
            if endpoint != but:
                self._hub.send(endpoint, message)

    # Messages, in the order of a session's life.

    async def _on_redeem(self, sender: LinkIdentity, body: TicketRedeem) -> None:
        statement = offer_key_statement(body.session, body.tunnel_key)
        if not is_signed_by(sender.key, statement, body.signature):
            self._refuse_ticket(sender, body.session, RefusalReason.BAD_SIGNATURE)
            return
        now_ms = self._now_ms()

        def work(tx: Tx) -> tuple[Session, Ends | None] | None:
            session = sessions.redeem(
                tx, sender, body, self._times, now_ms, lambda gateway: self._region(tx, gateway)
            )
            return (session, read_ends(tx, session)) if session is not None else None

        redeemed = await self._write(sender, work)
        if redeemed is None:
            self._refuse_ticket(sender, body.session, RefusalReason.TICKET_INVALID)
            return
        session, ends = redeemed
        if ends is None or self._hub.access_of(ends.gateway) is None:
            await self.give_up(session)
            return
        message = session_messages.offer(ends, self._admissions, now_ms)
        self._hub.send(ends.gateway, message)
        if not message.needs_release:  # which may take hours
            relays = session_messages.relays(ends, self._admissions, now_ms)
            self._hub.send(ends.client, relays)

    async def _on_release_pending(self, sender: LinkIdentity, body: ReleasePending) -> None:
        now_ms = self._now_ms()

        def work(tx: Tx) -> Session | None:
            session = _session_of(tx, sender, body.session)
            if session is None or not _awaits_answer(session, now_ms):
                return None
            session_releases.plant_asked(tx, session, body, self._times.answer_s, now_ms)
            return session

        session = await self._write(sender, work)
        if session is None:
            await self._correct(sender, body.session)
        elif session.client is not None:
            self._hub.send(EndpointId(session.client), body)

    async def _on_release(self, sender: LinkIdentity, body: SessionRelease) -> None:
        now_ms = self._now_ms()
        actor = Actor(sender.endpoint, sender.name)

        def work(tx: Tx) -> tuple[Ends, bool] | None:
            session = _session_of(tx, sender, body.session)
            if session is None or not _awaits_answer(session, now_ms):
                return None
            ends = read_ends(tx, session)
            if ends is None:
                return None
            released = session_releases.plant_released(tx, ends, body, actor, now_ms)
            return ends, released is not None

        kept = await self._write(sender, work)
        if kept is None:
            await self._correct(sender, body.session)
        elif not kept[1]:
            detail = "the plant's release is not signed by its gateway for exactly this session"
            refusal = SessionRefusal(body.session, RefusalReason.BAD_SIGNATURE, detail)
            await self._end_refused(refusal, CONTROLD)

    async def _on_answer(self, sender: LinkIdentity, body: SessionAnswer) -> None:
        now_ms = self._now_ms()

        def work(tx: Tx) -> tuple[Ends, RefusalReason | None] | None:
            session = _session_of(tx, sender, body.session)
            if session is None or not _awaits_answer(session, now_ms):
                return None
            ends = read_ends(tx, session)
            if ends is None:
                return None
            statement = answer_key_statement(
                session.id, body.tunnel_key, ends.client_key, ends.tunnel_key
            )
            if not is_signed_by(ends.gateway_key, statement, body.signature):
                return ends, RefusalReason.BAD_SIGNATURE
            if not session_releases.is_released(tx, session):
                return ends, RefusalReason.NOT_RELEASED
            sessions.note_answer(tx, session)
            return ends, None

        answered = await self._write(sender, work)
        if answered is None:
            await self._correct(sender, body.session)
            return
        ends, reason = answered
        if reason is None:
            message = session_messages.grant(ends, body, self._admissions, now_ms)
            self._hub.send(ends.client, message)
            return
        detail = "the gateway's answer is not signed by its enrolled identity"
        if reason is RefusalReason.NOT_RELEASED:
            detail = "the gateway answered, but nobody has released this session"
        await self._end_refused(SessionRefusal(body.session, reason, detail), CONTROLD)

    async def _on_refusal(self, sender: LinkIdentity, body: SessionRefusal) -> None:
        if await self._store.read(lambda tx: _session_of(tx, sender, body.session)) is None:
            await self._record_foreign(sender, body.session)
            return
        await self._end_refused(body, Actor(sender.endpoint, sender.name))

    async def _on_progress(self, sender: LinkIdentity, body: SessionProgress) -> None:
        now_ms = self._now_ms()
        actor = Actor(sender.endpoint, sender.name)

        def work(tx: Tx) -> Session | None:
            session = _session_of(tx, sender, body.session)
            if session is None or not session.answered or session.state not in OPEN_STATES:
                return None
            return sessions.progress(tx, session, body.path, actor, now_ms)

        if await self._write(sender, work) is None:
            await self._correct(sender, body.session)

    async def _on_path_signal(self, sender: LinkIdentity, body: PathSignal) -> None:
        """Hand it on as it is, to an end that is there; what it says is between the two ends."""
        session = await self._store.read(lambda tx: _session_of(tx, sender, body.session))
        if session is None:
            await self._record_foreign(sender, body.session)
        elif session.client is not None and session.state in OPEN_STATES:
            ends = {EndpointId(session.gateway), EndpointId(session.client)}
            for other in ends - {sender.endpoint}:
                if self._hub.is_linked(other):
                    self._hub.send(other, body)

    async def _on_end(self, sender: LinkIdentity, session: SessionId, reason: EndReason) -> None:
        now_ms = self._now_ms()
        actor = Actor(sender.endpoint, sender.name)

        def work(tx: Tx) -> tuple[Session | None, bool]:
            found = _session_of(tx, sender, session)
            if found is None:
                return None, False
            # An end that closed an earlier start, as it was told, says nothing about this one.
            if found.state not in OPEN_STATES or reason is EndReason.TARGETS_CHANGED:
                return None, True
            return sessions.end(tx, found, reason, actor, now_ms), True

        ended, is_known = await self._write(sender, work)
        if not is_known:
            await self._record_foreign(sender, session)
        elif ended is not None:
            self.tell_end(ended, but=sender.endpoint)

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

        strangers, lost = await self._write(sender, work)
        self._hub.note_state(sender.endpoint, body)
        for stranger in strangers:
            self._hub.send(sender.endpoint, SessionEnd(stranger, EndReason.LEASE_ENDED))
        for session in lost:
            self.tell_end(session, but=sender.endpoint)

    async def _on_audit(self, sender: LinkIdentity, body: AuditBatch) -> None:
        now_ms = self._now_ms()
        await self._write(
            sender,
            lambda tx: store_audit.append_uploaded(
                tx, sender.endpoint, sender.organisation, body.events, now_ms
            ),
        )

    # What several of them need.

    async def _write(self, sender: LinkIdentity, work: Callable[[Tx], T]) -> T:
        """Run what a message asks for, unless it came on a link that is not one any more."""

        def checked(tx: Tx) -> T:
            self._fleet.check(tx, sender)
            return work(tx)

        return await self._store.write(checked)

    async def _end_refused(self, refusal: SessionRefusal, actor: Actor) -> None:
        """End a session that did not come about: the technician hears why, the gateway closes."""
        now_ms = self._now_ms()

        def work(tx: Tx) -> Session | None:
            session = get_session(tx, refusal.session)
            why = {"refusal": refusal.reason.value, "detail": refusal.detail}
            return sessions.end(tx, session, EndReason.REFUSED, actor, now_ms, why)

        ended = await self._store.write(work)
        self._tell_relays()
        if ended is None or ended.client is None:
            return
        if actor.id != ended.client:
            self._hub.send(EndpointId(ended.client), refusal)
        if actor.id != ended.gateway:
            message = SessionEnd(ended.id, EndReason.REFUSED)
            self._hub.send(EndpointId(ended.gateway), message)

    def _region(self, tx: Tx, gateway: GatewayId) -> str:
        """Where a session's relays are to be."""
        configured = [region.name for region in self._admissions.regions]
        state = self._hub.state_of(EndpointId(gateway))
        if not configured or state is None:
            return configured[0] if configured else ""
        return regions.choose(
            configured,
            state.regions,
            pinned=state.pinned_region or "",
            last=last_region(tx, gateway),
        )

    def _refuse_ticket(
        self, client: LinkIdentity, session: SessionId, reason: RefusalReason
    ) -> None:
        detail = "the link was used before, has expired or is not yours; press Start again"
        if reason is RefusalReason.BAD_SIGNATURE:
            detail = "the tunnel key is not signed by this computer's identity; enrol it again"
        self._hub.send(client.endpoint, SessionRefusal(session, reason, detail))

    async def _correct(self, sender: LinkIdentity, session: SessionId) -> None:
        """Answer an endpoint that believes in a session that is over, or is not its own."""
        found = await self._store.read(lambda tx: _session_of(tx, sender, session))
        if found is None:
            await self._record_foreign(sender, session)
        elif found.state in FINAL_STATES:
            reason = found.end_reason or EndReason.LEASE_ENDED
            self._hub.send(sender.endpoint, SessionEnd(session, reason))

    async def _record_foreign(self, sender: LinkIdentity, session: SessionId) -> None:
        """An enrolled endpoint spoke about a session it has no part in: an alarm."""
        entry = Entry(
            action=AuditAction.PERMISSION_DENIED,
            organisation=sender.organisation,
            actor=Actor(sender.endpoint, sender.name),
            subject=session,
            detail={"reason": "not a session of this endpoint"},
        )
        now_ms = self._now_ms()
        await self._store.write(lambda tx: store_audit.append(tx, entry, now_ms))


def _awaits_answer(session: Session, now_ms: int) -> bool:
    """Whether a gateway's word still counts; the sweep that ends what is late may be late, too."""
    return (
        session.state is SessionState.STARTING
        and session.client is not None
        and not session.answered
        and now_ms < (session.lease_until_ms or 0)
    )


def _session_of(tx: Tx, sender: LinkIdentity, session: SessionId) -> Session | None:
    """The session, if the sender is one of its two ends."""
    try:
        found = get_session(tx, session)
    except NotFoundError:
        return None
    ends: set[str | None] = {found.gateway, found.client}
    return found if sender.endpoint in ends else None
