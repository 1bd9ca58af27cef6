"""Several controlds on one PostgreSQL: each says that it lives, and they pass messages on.

One turn writes what this instance has for the others, reads what they have for it and carries it
out. A notification or an event here begins the next one; without either it comes after BEAT_S.
An instance that has been silent for STALE_MS is given up by the others, and its links with it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from controld import store_audit, store_endpoints, store_fleet
from controld.codes import new_id
from controld.fleet_elsewhere import Elsewhere
from controld.fleet_news import listen
from controld.link_hub import Hub, RefusedError
from controld.store import StoreUnavailableError
from controld.store_fleet import STALE_MS, InstanceId, Letter, StrangerError
from controld.store_postgres import database_ms, tell_news
from rclib.runtime.clock import boottime
from rclib.runtime.errors import StartError
from rclib.runtime.logs import RateLimitedLogger
from rclib.wire.errors import DecodeError
from rclib.wire.link import LinkRefusal, Message, decode_link, encode_link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from controld.link_hub import Link, Peer
    from controld.records import LinkIdentity
    from controld.sealing import Sealer
    from controld.store import Store, Tx
    from controld.store_fleet import LinkRow
    from controld.store_url import PostgresServer
    from rclib.runtime.logs import Logger
    from rclib.runtime.service import Context
    from rclib.wire.control import GatewayState
    from rclib.wire.ids import EndpointId

BEAT_S: Final = 2.0
RETRY_S: Final = 0.5
APART_MS: Final = 2000
"""How far clocks may be apart before an operator is told."""

TURN_FAILED = "fleet_turn_failed"
GIVEN_UP = "instance_given_up"
CLOCKS_APART = "clocks_apart"
LETTER_UNREADABLE = "letter_unreadable"


class SharedFleet:
    """This controld among those that serve the same database."""

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        family: bytes,
        now_ms: Callable[[], int],
        catch_up: Callable[[int], None],
        log: Logger,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._family = family
        self._now_ms = now_ms
        self._catch_up = catch_up
        self._log = RateLimitedLogger(log)
        self._elsewhere = Elsewhere(_new_instance())
        self.hub = Hub(now_ms, log, self._elsewhere)
        self._claiming: list[EndpointId] = []
        self._living: Sequence[InstanceId] = ()
        self._beat_at = self._well_at = boottime()

    # What the rest of controld asks of a fleet.

    @property
    def is_alone(self) -> bool:
        return list(self._living) == [self._elsewhere.me]

    @property
    def is_first(self) -> bool:
        return self._is_well and list(self._living[:1]) == [self._elsewhere.me]

    async def attach(self, identity: LinkIdentity, link: Link) -> tuple[LinkIdentity, Peer]:
        endpoint = identity.endpoint
        self._claiming.append(endpoint)
        try:
            claimed = await self._store.write(lambda tx: self._claim(tx, identity, link.software))
            if (self.hub.claim_of(endpoint) or 0) > claimed.claim:
                raise RefusedError(LinkRefusal.REPLACED, "a newer link was faster")
            return claimed, self.hub.attach(claimed, link, claimed.claim)
        finally:
            self._claiming.remove(endpoint)
            self._elsewhere.wake()

    def check(self, tx: Tx, sender: LinkIdentity) -> None:
        store_fleet.check_claim(tx, self._elsewhere.me, sender.endpoint, sender.claim)

    def keep_state(self, tx: Tx, sender: LinkIdentity, state: GatewayState) -> None:
        me = self._elsewhere.me
        store_fleet.keep_state(tx, me, sender.endpoint, sender.claim, state)
        tell_news(tx)

    def shut(self, tx: Tx, endpoint: EndpointId, why: str) -> None:
        store_fleet.shut(tx, endpoint, why, self._now_ms())
        tell_news(tx)

    # Membership.

    def wake(self) -> None:
        """Take a turn at once."""
        self._elsewhere.wake()

    async def join(self) -> None:
        """Begin to be an instance; raises StartError, StoreUnavailableError."""

        def work(tx: Tx) -> int:
            now_ms = database_ms(tx)
            self._bury(tx, now_ms)
            store_fleet.join(tx, self._elsewhere.me, self._family, now_ms)
            return now_ms

        try:
            self._compare_clocks(await self._store.write(work))
        except StrangerError:
            raise StartError(
                "another controld with other keys or another host serves this database; give "
                "both the same host, token_key and audit_key, or this one a database of its own"
            ) from None
        self._beat_at = self._well_at = boottime()

    async def leave(self) -> None:
        """Hand over what is under way and be none any more. Raises StoreUnavailableError."""
        await self.turn()

        def work(tx: Tx) -> None:
            store_fleet.leave(tx, self._elsewhere.me, self._now_ms())
            tell_news(tx)

        await self._store.write(work)

    async def run(self) -> None:
        """Take turns for ever."""
        while True:
            self._elsewhere.news.clear()
            try:
                await self.turn()
            except StoreUnavailableError as exc:
                self._log.error(TURN_FAILED, once_per="store", reason=exc)
                if not self._is_well:
                    # The others count these links as gone: they are to find another instance.
                    detail = "this control plane has lost its database; try another"
                    self.hub.close_all(LinkRefusal.SHUTTING_DOWN, detail)
                await asyncio.sleep(RETRY_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._elsewhere.news.wait()

    async def turn(self) -> None:
        """Write, read, carry out. Raises StoreUnavailableError; then nothing is lost."""
        if not await self._write():
            await self._begin_anew()
            return
        me, seen = self._elsewhere.me, self._elsewhere.seen

        def look(tx: Tx) -> tuple[Sequence[InstanceId], Sequence[LinkRow], Sequence[Letter]]:
            rows = store_fleet.changes_since(tx, seen)
            return store_fleet.living(tx), rows, store_fleet.letters_for(tx, me)

        self._living, rows, letters = await self._store.read(look)
        self._elsewhere.learn(rows)
        for row in rows:
            self._heed(row)
        for letter in letters:
            if letter.message not in self._elsewhere.arrived:
                self._deliver(letter)
        self._well_at = boottime()

    async def _write(self) -> bool:
        """Write what there is to write; False if this instance has been given up."""
        posted = dict(self._elsewhere.posted)
        arrived = set(self._elsewhere.arrived)
        gone = [row for row in self._elsewhere.mine() if self._is_gone(row)]
        is_news = bool(posted or gone)
        if not (is_news or arrived) and boottime() - self._beat_at < BEAT_S:
            return True

        def work(tx: Tx) -> int | None:
            now_ms, me = database_ms(tx), self._elsewhere.me
            if not store_fleet.beat(tx, me, now_ms):
                return None
            store_fleet.clear_out(tx, now_ms)
            store_fleet.take_out(tx, arrived)
            store_fleet.post(tx, map(self._letter, posted.values()), now_ms)
            for row in gone:
                gone_ms = self.hub.gone_since_ms(row.endpoint) or now_ms
                store_fleet.release(tx, me, row.endpoint, row.claim, gone_ms)
            if self._bury(tx, now_ms) or is_news:
                tell_news(tx)
            return now_ms

        database_now_ms = await self._store.write(work)
        if database_now_ms is None:
            return False
        for message in posted:
            self._elsewhere.posted.pop(message, None)
        self._elsewhere.arrived -= arrived
        self._beat_at = boottime()
        self._compare_clocks(database_now_ms)
        return True

    async def _begin_anew(self) -> None:
        """The others have given this instance up, and rightly: it was silent for too long."""
        self._log.error(GIVEN_UP, once_per="instance", instance=self._elsewhere.me)
        for endpoint in self.hub.linked():
            detail = "this instance was silent for too long; link again"
            self.hub.drop(endpoint, LinkRefusal.SHUTTING_DOWN, detail)
        self._elsewhere.begin_anew(_new_instance())
        await self.join()
        self.wake()

    # What a turn consists of.

    def _heed(self, row: LinkRow) -> None:
        """Close a link here that the database knows to be over."""
        held = self.hub.claim_of(row.endpoint)
        if held is None or held > row.claim:
            return
        if row.claim > held:
            detail = "a newer link of this endpoint took over"
            self.hub.drop(row.endpoint, LinkRefusal.REPLACED, detail)
        elif row.shut is not None:
            self.hub.close(row.endpoint, LinkRefusal.UNKNOWN, row.shut)

    def _deliver(self, letter: Letter) -> None:
        text = self._sealer.unseal(letter.sealed, _owner(letter.endpoint))
        try:
            frame = decode_link(text) if text is not None else None
        except DecodeError:
            frame = None
        if isinstance(frame, Message) and frame.id == letter.message:
            self.hub.deliver(letter.endpoint, frame)
            return
        # Written by nobody with our key: nothing that an endpoint should hear.
        self._log.error(LETTER_UNREADABLE, once_per="letter", endpoint=letter.endpoint)
        self._elsewhere.acknowledged(letter.message)

    def _letter(self, posted: tuple[EndpointId, Message]) -> Letter:
        endpoint, message = posted
        sealed = self._sealer.seal(encode_link(message).decode(), _owner(endpoint))
        return Letter(message.id, endpoint, sealed)

    def _claim(self, tx: Tx, identity: LinkIdentity, software: str) -> LinkIdentity:
        """Looked at again: disabling a user or enrolling anew may have been faster."""
        found = store_endpoints.link_identity(tx, identity.endpoint)
        if found is None or found.key != identity.key or found.shut_out:
            raise RefusedError(LinkRefusal.UNKNOWN, "this endpoint is not enrolled any more")
        if not store_fleet.beat(tx, self._elsewhere.me, database_ms(tx)):
            raise RefusedError(LinkRefusal.SHUTTING_DOWN, "this instance has to begin anew")
        number = store_fleet.claim(tx, self._elsewhere.me, identity.endpoint, software)
        tell_news(tx)
        return replace(found, claim=number)

    def _bury(self, tx: Tx, now_ms: int) -> bool:
        entries = store_fleet.bury(tx, now_ms)
        store_audit.append_all(tx, [(entry, now_ms) for entry in entries])
        return bool(entries)

    def _is_gone(self, row: LinkRow) -> bool:
        is_here = self.hub.claim_of(row.endpoint) == row.claim
        return not is_here and row.endpoint not in self._claiming

    def _hub_claim(self, endpoint: EndpointId) -> int | None:
        return self.hub.claim_of(endpoint)

    def _compare_clocks(self, database_now_ms: int) -> None:
        """Nothing granted until a time of day lives on where a clock is behind."""
        apart_ms = self._now_ms() - database_now_ms
        if abs(apart_ms) > APART_MS:
            self._log.warning(CLOCKS_APART, once_per="clock", ahead_of_database_ms=apart_ms)
        self._catch_up(database_now_ms)

    @property
    def _is_well(self) -> bool:
        return (boottime() - self._well_at) * 1000 < STALE_MS


@asynccontextmanager
async def open_fleet(
    fleet: SharedFleet, server: PostgresServer, ctx: Context
) -> AsyncIterator[None]:
    """Be one of the fleet; on leaving, after the links have closed: hand over and leave.

    Raises StartError.
    """
    try:
        await fleet.join()
        await fleet.turn()
    except StoreUnavailableError as exc:
        raise StartError(f"{server} cannot be written: {exc}") from None
    tasks = [
        ctx.tasks.create_task(fleet.run()),
        ctx.tasks.create_task(listen(server, fleet.wake, ctx.log)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        with suppress(StoreUnavailableError):  # the others will notice
            await fleet.leave()


def _new_instance() -> InstanceId:
    return InstanceId(new_id("ins"))


def _owner(endpoint: EndpointId) -> str:
    return f"letter to {endpoint}"
