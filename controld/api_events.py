"""Live state as Server-Sent Events: what has changed, one event per row of the record.

The record is the one place where every change is stated, in order and by every instance; an
event is its number and what it is about. Who has lost the stream names the last number
(Last-Event-ID) and misses nothing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from controld import store_audit
from controld.api import Call, Route, user_of
from controld.api_sessions import sees
from controld.errors import NotFoundError, TooManyError
from controld.roles import Action, Scope, scope_of
from controld.store_sessions import get_session
from rclib.wire.codec import Struct
from rclib.wire.ids import SessionId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controld.records import User
    from controld.store import Tx

LOOK_S: Final = 1.0
MAX_STREAMS: Final = 500
MAX_EVENTS: Final = 100
"""In one look."""


class Change(Struct, frozen=True):
    """Something about this is not as it was; look there for what."""

    seq: int
    action: str
    session: str | None
    subject: str


async def stream(call: Call) -> web.StreamResponse:
    """Send changes until the reader goes away, or its token or role."""
    if call.services.streams >= MAX_STREAMS:
        raise TooManyError("too_many_streams", "too many readers; ask again later")
    services, seq = call.services, await _first(call)
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})
    response.content_type = "text/event-stream"
    services.streams += 1
    try:
        await response.prepare(call.request)
        await response.write(b"retry: 2000\n\n")
        while not services.is_stopping():
            look = await services.store.read(partial(_look, call=call, after=seq))
            if look is None:
                await response.write(b"event: over\ndata:\n\n")
                break
            seq, changes = look
            await response.write(_spelt(changes, seq) or b":\n\n")
            await asyncio.sleep(LOOK_S)
    except ConnectionError:
        pass  # the reader has gone
    finally:
        services.streams -= 1
    return response


async def _first(call: Call) -> int:
    """Where to begin: behind what the reader has seen, or now."""
    seen = call.request.headers.get("Last-Event-ID", "")
    head = await call.services.store.read(store_audit.newest)
    return min(int(seen[:16]), head) if seen.isascii() and seen.isdigit() else head


def _look(tx: Tx, *, call: Call, after: int) -> tuple[int, list[Change]] | None:
    """What is new to this reader and up to which number; None: it may not look any more."""
    user, scopes = user_of(tx, call.token, call.services.now_ms())
    if user is None or (scopes is not None and Action.SEE_SESSIONS not in scopes):
        return None
    if scope_of(user.role, Action.SEE_SESSIONS) is Scope.NONE:
        return None
    records = store_audit.page(tx, user.organisation, after, MAX_EVENTS)
    changes = [
        Change(seq=record.seq, action=record.action, session=record.session, subject=record.subject)
        for record in records
        if _concerns(tx, user, record.session)
    ]
    return (records[-1].seq if records else after), changes


def _concerns(tx: Tx, user: User, session: str | None) -> bool:
    if scope_of(user.role, Action.SEE_SESSIONS) is Scope.ALL:
        return True
    if session is None:
        return False
    try:
        return sees(user, get_session(tx, SessionId(session)))
    except NotFoundError:
        return False


def _spelt(changes: Sequence[Change], seq: int) -> bytes:
    if not changes:
        return b""
    events = [
        b"id: %d\nevent: change\ndata: %s\n\n" % (change.seq, msgspec.json.encode(change))
        for change in changes
    ]
    # The reader's place, also where the last rows did not concern it.
    return b"".join(events) + b"id: %d\n\n" % seq


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/events",
        needs=Action.SEE_SESSIONS,
        handle=stream,
        gives=Change,
        is_stream=True,
        is_long=True,
    ),
)
