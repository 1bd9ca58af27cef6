"""Who may speak about a session: its two ends, each on the link that is its newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from controld import store_audit
from controld.errors import NotFoundError
from controld.records import FINAL_STATES, Actor, Entry
from controld.store_sessions import get_session
from rclib.wire.audit import AuditAction
from rclib.wire.control import SessionEnd
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.fleet import Fleet
    from controld.records import LinkIdentity, Session
    from controld.store import Store, Tx
    from rclib.wire.ids import SessionId

T = TypeVar("T")


class Parties:
    """Lets endpoints do things to their own sessions only, and answers those that are mistaken."""

    def __init__(self, store: Store, fleet: Fleet, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._fleet = fleet
        self._now_ms = now_ms

    async def write(self, sender: LinkIdentity, work: Callable[[Tx], T]) -> T:
        """Run what a message asks for, unless it came on a link that is not one any more.

        Raises SupersededError, StoreUnavailableError.
        """

        def checked(tx: Tx) -> T:
            self._fleet.check(tx, sender)
            return work(tx)

        return await self._store.write(checked)

    async def session_of(self, sender: LinkIdentity, session: SessionId) -> Session | None:
        """The session, if the sender is one of its ends; if not, that goes on record."""
        found = await self._store.read(lambda tx: session_of(tx, sender, session))
        if found is None:
            await self.record_foreign(sender, session)
        return found

    async def correct(self, sender: LinkIdentity, session: SessionId) -> None:
        """Answer an endpoint that believes in a session that is over, or is not its own."""
        found = await self.session_of(sender, session)
        if found is not None and found.state in FINAL_STATES:
            reason = found.end_reason or EndReason.LEASE_ENDED
            self._fleet.hub.send(sender.endpoint, SessionEnd(session, reason))

    async def record_foreign(self, sender: LinkIdentity, session: SessionId) -> None:
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


def session_of(tx: Tx, sender: LinkIdentity, session: SessionId) -> Session | None:
    """The session, if the sender is one of its two ends."""
    try:
        found = get_session(tx, session)
    except NotFoundError:
        return None
    ends: set[str | None] = {found.gateway, found.client}
    return found if sender.endpoint in ends else None
