"""What time does to sessions: tickets expire, leases are renewed or run out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from controld import session_releases, sessions
from controld.lifecycle import Due, Patience, Presence, due
from controld.records import CONTROLD, OPEN_STATES, SessionState
from controld.store import StoreUnavailableError
from controld.store_sessions import get_session, sessions_under_time
from rclib.runtime.logs import RateLimitedLogger
from rclib.wire.ids import EndpointId
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.config import TimesConfig
    from controld.link_hub import Hub
    from controld.metrics import Metrics
    from controld.records import Session
    from controld.session_keeper import Keeper
    from controld.store import Store, Tx
    from rclib.runtime.logs import Logger
    from rclib.wire.ids import SessionId

SWEEP_S: Final = 1.0
SWEEP_FAILED = "sweep_failed"


class Sweeper:
    """Looks at what time can change once per SWEEP_S."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        keeper: Keeper,
        times: TimesConfig,
        now_ms: Callable[[], int],
        metrics: Metrics,
        log: Logger,
    ) -> None:
        self._store = store
        self._hub = hub
        self._keeper = keeper
        self._patience = Patience(times.lease_s, times.client_grace_s, times.release_s)
        self._now_ms = now_ms
        self._metrics = metrics
        self._log = RateLimitedLogger(log)

    async def recover(self) -> None:
        """After a start: what was between ticket and handshake cannot be picked up again."""
        for session in await self._store.read(sessions_under_time):
            if session.state is SessionState.STARTING and session.client is not None:
                await self._keeper.end(session.id, EndReason.LEASE_ENDED, CONTROLD)

    async def run(self, done: Callable[[], None], hindered: Callable[[], None]) -> None:
        """Sweep for ever and say after each sweep whether it worked or the store was away."""
        while True:
            try:
                await self.sweep()
            except StoreUnavailableError as exc:
                # Nothing is renewed meanwhile, so that what cannot be recorded comes to its end.
                self._log.error(SWEEP_FAILED, once_per="store", reason=exc)
                hindered()
            else:
                done()
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Do what has become due. Raises StoreUnavailableError."""
        found = await self._store.read(sessions_under_time)
        for state in OPEN_STATES:
            count = sum(session.state is state for session in found)
            self._metrics.sessions_open.labels(state.value).set(count)
        for session in found:
            await self._do(session)

    async def _do(self, session: Session) -> None:
        match self._due(session, self._now_ms()):
            case None:
                pass
            case Due.RENEW:
                await self._keeper.renew(session)
            case Due.GIVE_UP_ANSWER:
                await self._keeper.give_up(session)
            case Due.EXPIRE_TICKET:
                await self._expire_ticket(session.id)
            case Due.EXPIRE:
                await self._end(session, Due.EXPIRE, EndReason.TIME_OVER)
            case Due.LAPSE:
                await self._lapse(session.id)
            case reason:
                await self._end(session, reason, reason)

    async def _end(self, session: Session, why: Due | EndReason, reason: EndReason) -> None:
        """Looked at again: another controld may have renewed or changed it meanwhile."""
        now_ms = self._now_ms()
        await self._keeper.end(
            session.id, reason, CONTROLD, lambda found: self._due(found, now_ms) is why
        )

    def _due(self, session: Session, now_ms: int) -> Due | EndReason | None:
        return due(session, self._presence(session), self._patience, now_ms)

    def _presence(self, session: Session) -> Presence:
        client = session.client
        return Presence(
            gateway_linked=self._hub.is_linked(EndpointId(session.gateway)),
            client_gone_ms=(
                self._hub.gone_since_ms(EndpointId(client)) if client is not None else None
            ),
        )

    async def _lapse(self, session: SessionId) -> None:
        now_ms = self._now_ms()

        def work(tx: Tx) -> None:
            found = get_session(tx, session)
            # Looked at again: it may have been started since the sweep read it.
            if self._due(found, now_ms) is Due.LAPSE:
                session_releases.lapse(tx, found, now_ms)

        await self._store.write(work)

    async def _expire_ticket(self, session: SessionId) -> None:
        now_ms = self._now_ms()

        def work(tx: Tx) -> None:
            found = get_session(tx, session)
            # Looked at again: the ticket may have been redeemed since the sweep read it.
            redeem_by = found.redeem_by_ms or 0
            is_unused = found.state is SessionState.STARTING and found.client is None
            if is_unused and redeem_by <= now_ms:
                sessions.expire_ticket(tx, found, now_ms)

        await self._store.write(work)
