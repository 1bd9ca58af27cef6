"""Whose word lets a session start: a second person's in the portal, or the plant's.

Each step changes the store and goes on record. Nobody releases what they asked for themselves,
nor what they will use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from controld import store_policies
from controld.errors import ConflictError, ForbiddenError
from controld.lifecycle import Event, TransitionError, next_state
from controld.records import CONTROLD, ReleasePolicy, Session
from controld.session_plans import NOT_RELEASED, spelt
from controld.sessions import record
from controld.store_sessions import save_session
from rclib.wire.audit import AuditAction
from rclib.wire.identity import is_signed_by, release_statement
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from controld.records import Actor, User
    from controld.session_messages import Ends
    from controld.store import Tx
    from rclib.wire.control import ReleasePending, SessionRelease


def request(tx: Tx, session: Session, user: User, actor: Actor, now_ms: int) -> Session:
    """Ask for a second person's word. Raises ConflictError."""
    if store_policies.get_policy(tx, session.gateway).release is not ReleasePolicy.FOUR_EYES:
        raise ConflictError("no_release_wanted", "this gateway wants no second person's release")
    asked = _moved(session, Event.REQUEST, requested_by=user.id, requested_ms=now_ms)
    save_session(tx, asked)
    detail = {"targets": spelt(asked.targets), "reason": asked.reason}
    record(tx, AuditAction.RELEASE_REQUESTED, asked, actor, now_ms, detail)
    return asked


def release(tx: Tx, session: Session, user: User, actor: Actor, now_ms: int) -> Session:
    """A second person's word. Raises ForbiddenError, ConflictError."""
    _check_second(session, user)
    released = _moved(session, Event.RELEASE, released_by=user.id, released_ms=now_ms)
    save_session(tx, released)
    detail = {"targets": spelt(released.targets), "reason": released.reason}
    record(tx, AuditAction.SESSION_RELEASED, released, actor, now_ms, detail)
    return released


def refuse(tx: Tx, session: Session, actor: Actor, now_ms: int) -> Session:
    """Somebody who may release it does not want it. Raises ConflictError."""
    refused = replace(_moved(session, Event.REFUSE), ended_ms=now_ms, end_reason=EndReason.REFUSED)
    save_session(tx, refused)
    record(tx, AuditAction.RELEASE_REFUSED, refused, actor, now_ms)
    return refused


def lapse(tx: Tx, session: Session, now_ms: int) -> Session:
    """Nobody used the release in time: it has to be asked for again."""
    lapsed = _moved(session, Event.LAPSE, **NOT_RELEASED)
    save_session(tx, lapsed)
    record(
        tx, AuditAction.RELEASE_REFUSED, lapsed, CONTROLD, now_ms, {"detail": "not used in time"}
    )
    return lapsed


def plant_asked(tx: Tx, session: Session, body: ReleasePending, answer_s: int, now_ms: int) -> None:
    """The gateway waits for a person: so do we, as long as the lease."""
    until_ms = now_ms + (body.wait_s + answer_s) * 1000
    save_session(
        tx,
        replace(session, asked_plant=True, answer_by_ms=min(until_ms, session.lease_until_ms or 0)),
    )


def plant_released(
    tx: Tx, ends: Ends, body: SessionRelease, actor: Actor, now_ms: int
) -> Session | None:
    """Keep the plant's word; None if its gateway did not sign exactly this."""
    session = ends.session
    statement = release_statement(
        session.id, ends.client_key, session.targets, body.until_ms, body.by
    )
    is_its_word = is_signed_by(ends.gateway_key, statement, body.signature)
    if not is_its_word or body.until_ms > ends.not_after_ms:
        return None
    released = replace(
        session,
        asked_plant=True,
        released_by=body.by,
        released_ms=now_ms,
        release_signature=body.signature,
        not_after_ms=body.until_ms,
        lease_until_ms=min(body.until_ms, session.lease_until_ms or 0),
        revision=session.revision + 1,
    )
    save_session(tx, released)
    detail = {"by": body.by, "until_ms": str(body.until_ms), "targets": spelt(session.targets)}
    record(tx, AuditAction.SESSION_RELEASED, released, actor, now_ms, detail)
    return released


def is_released(tx: Tx, session: Session) -> bool:
    """Whether nothing is missing of what the gateway's policy and the plant want."""
    policy = store_policies.get_policy(tx, session.gateway).release
    by_plant = session.release_signature is not None
    match policy:
        case ReleasePolicy.OPEN:
            return by_plant or not session.asked_plant
        case ReleasePolicy.FOUR_EYES:
            return session.released_by is not None and (by_plant or not session.asked_plant)
        case ReleasePolicy.PLANT_RELEASE:
            return by_plant


def _check_second(session: Session, user: User) -> None:
    if user.id == session.requested_by:
        raise ForbiddenError("own_request", "somebody else has to release what you asked for")
    if user.id in session.users:
        raise ForbiddenError("own_session", "you would use this session; let somebody else decide")


def _moved(session: Session, event: Event, **changes: object) -> Session:
    try:
        state = next_state(session.state, event)
    except TransitionError as exc:
        raise ConflictError("wrong_state", f"{exc}") from None
    revision = session.revision + 1
    moved: Session = replace(session, state=state, revision=revision, **changes)  # type: ignore[arg-type]
    return moved
