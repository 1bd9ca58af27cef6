"""From the technician's ticket to the grant: what the two ends of a start say and are told.

In the order of a start: ticket and offer, the plant's release, answer and grant. Each step is
committed before anybody hears of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import regions, session_messages, session_releases, sessions
from controld.records import Actor, Session, SessionState
from controld.session_messages import Ends, read_ends
from controld.session_parties import session_of
from controld.store_sessions import last_region
from rclib.wire.control import (
    ReleasePending,
    SessionAnswer,
    SessionRefusal,
    SessionRelease,
    TicketRedeem,
)
from rclib.wire.identity import answer_key_statement, is_signed_by, offer_key_statement
from rclib.wire.ids import EndpointId
from rclib.wire.session import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.admissions import Admissions
    from controld.config import TimesConfig
    from controld.link_hub import Hub
    from controld.records import LinkIdentity
    from controld.session_keeper import Keeper
    from controld.session_parties import Parties
    from controld.store import Tx
    from rclib.wire.ids import GatewayId, SessionId


class Starts:
    """Takes a start from its ticket to both ends being open."""

    def __init__(
        self,
        parties: Parties,
        keeper: Keeper,
        hub: Hub,
        admissions: Admissions,
        times: TimesConfig,
        now_ms: Callable[[], int],
    ) -> None:
        self._parties = parties
        self._keeper = keeper
        self._hub = hub
        self._admissions = admissions
        self._times = times
        self._now_ms = now_ms

    async def redeem(self, sender: LinkIdentity, body: TicketRedeem) -> None:
        """A technician's computer has the ticket: ask the gateway."""
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

        redeemed = await self._parties.write(sender, work)
        if redeemed is None:
            self._refuse_ticket(sender, body.session, RefusalReason.TICKET_INVALID)
            return
        session, ends = redeemed
        if ends is None or self._hub.access_of(ends.gateway) is None:
            await self._keeper.give_up(session)
            return
        message = session_messages.offer(ends, self._admissions, now_ms)
        self._hub.send(ends.gateway, message)
        if not message.needs_release:  # which may take hours
            relays = session_messages.relays(ends, self._admissions, now_ms)
            self._hub.send(ends.client, relays)

    async def note_pending(self, sender: LinkIdentity, body: ReleasePending) -> None:
        """The gateway waits for a person at the plant; so do we, and the technician hears it."""
        now_ms = self._now_ms()

        def work(tx: Tx) -> Session | None:
            session = _awaited(tx, sender, body.session, now_ms)
            if session is not None:
                session_releases.plant_asked(tx, session, body, self._times.answer_s, now_ms)
            return session

        session = await self._parties.write(sender, work)
        if session is None:
            await self._parties.correct(sender, body.session)
        elif session.client is not None:
            self._hub.send(EndpointId(session.client), body)

    async def release(self, sender: LinkIdentity, body: SessionRelease) -> None:
        """A person at the plant has released the start."""
        now_ms = self._now_ms()
        actor = Actor(sender.endpoint, sender.name)

        def work(tx: Tx) -> bool | None:
            ends = _ends_awaited(tx, sender, body.session, now_ms)
            if ends is None:
                return None
            return session_releases.plant_released(tx, ends, body, actor, now_ms) is not None

        is_kept = await self._parties.write(sender, work)
        if is_kept is None:
            await self._parties.correct(sender, body.session)
        elif not is_kept:
            detail = "the plant's release is not signed by its gateway for exactly this session"
            await self._keeper.turn_away(body.session, RefusalReason.BAD_SIGNATURE, detail)

    async def answer(self, sender: LinkIdentity, body: SessionAnswer) -> None:
        """The gateway's side is open: the technician's may open, too."""
        now_ms = self._now_ms()

        def work(tx: Tx) -> tuple[Ends, RefusalReason | None] | None:
            ends = _ends_awaited(tx, sender, body.session, now_ms)
            if ends is None:
                return None
            statement = answer_key_statement(
                body.session, body.tunnel_key, ends.client_key, ends.tunnel_key
            )
            if not is_signed_by(ends.gateway_key, statement, body.signature):
                return ends, RefusalReason.BAD_SIGNATURE
            if not session_releases.is_released(tx, ends.session):
                return ends, RefusalReason.NOT_RELEASED
            sessions.note_answer(tx, ends.session)
            return ends, None

        answered = await self._parties.write(sender, work)
        if answered is None:
            await self._parties.correct(sender, body.session)
            return
        ends, reason = answered
        if reason is None:
            message = session_messages.grant(ends, body, self._admissions, now_ms)
            self._hub.send(ends.client, message)
            return
        detail = "the gateway's answer is not signed by its enrolled identity"
        if reason is RefusalReason.NOT_RELEASED:
            detail = "the gateway answered, but nobody has released this session"
        await self._keeper.turn_away(body.session, reason, detail)

    def _refuse_ticket(
        self, client: LinkIdentity, session: SessionId, reason: RefusalReason
    ) -> None:
        detail = "the link was used before, has expired or is not yours; press Start again"
        if reason is RefusalReason.BAD_SIGNATURE:
            detail = "the tunnel key is not signed by this computer's identity; enrol it again"
        self._hub.send(client.endpoint, SessionRefusal(session, reason, detail))

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


def _awaited(tx: Tx, sender: LinkIdentity, session: SessionId, now_ms: int) -> Session | None:
    """The gateway's session, if its word still counts.

    The sweep that ends what is late may be late, too.
    """
    found = session_of(tx, sender, session)
    is_awaited = (
        found is not None
        and found.state is SessionState.STARTING
        and found.client is not None
        and not found.answered
        and now_ms < (found.lease_until_ms or 0)
    )
    return found if is_awaited else None


def _ends_awaited(tx: Tx, sender: LinkIdentity, session: SessionId, now_ms: int) -> Ends | None:
    found = _awaited(tx, sender, session, now_ms)
    return read_ends(tx, found) if found is not None else None
