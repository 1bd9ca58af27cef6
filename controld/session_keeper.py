"""What people and time do to a session that was started, and what its ends are told of it.

Each step is committed before anybody hears of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import session_messages, sessions
from controld.records import CONTROLD, Session, SessionState
from controld.session_messages import Ends, read_ends
from controld.store_sessions import get_session
from rclib.wire.control import SessionEnd, SessionRefusal
from rclib.wire.identity import Side
from rclib.wire.ids import EndpointId
from rclib.wire.session import EndReason, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.admissions import Admissions
    from controld.config import TimesConfig
    from controld.link_hub import Hub
    from controld.records import Actor
    from controld.store import Store, Tx
    from rclib.wire.ids import SessionId


class Keeper:
    """Renews sessions and ends them."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        admissions: Admissions,
        times: TimesConfig,
        now_ms: Callable[[], int],
        on_end: Callable[[], None],
    ) -> None:
        self._store = store
        self._hub = hub
        self._admissions = admissions
        self._times = times
        self._now_ms = now_ms
        self._tell_relays = on_end
        """Called whenever a session may have ended."""

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
        await self.turn_away(session.id, RefusalReason.GATEWAY_OFFLINE, detail)

    async def turn_away(
        self, session: SessionId, reason: RefusalReason, detail: str, actor: Actor = CONTROLD
    ) -> None:
        """End a session that did not come about: the technician hears why, the gateway closes."""
        now_ms = self._now_ms()

        def work(tx: Tx) -> Session | None:
            found = get_session(tx, session)
            why = {"refusal": reason.value, "detail": detail}
            return sessions.end(tx, found, EndReason.REFUSED, actor, now_ms, why)

        ended = await self._store.write(work)
        self._tell_relays()
        if ended is None or ended.client is None:
            return
        if actor.id != ended.client:
            self._hub.send(EndpointId(ended.client), SessionRefusal(session, reason, detail))
        if actor.id != ended.gateway:
            message = SessionEnd(session, EndReason.REFUSED)
            self._hub.send(EndpointId(ended.gateway), message)

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
