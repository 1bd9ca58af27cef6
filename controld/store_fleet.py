"""Who of several controlds holds which link, and what is under way between them.

Units of work of one writing transaction at a time, so that their order is one order for all.
Each change of a link takes the next number: whoever remembers a number can read what came after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NewType

import msgspec
from sqlalchemy import delete, func, insert, select, union_all, update

from controld.records import CONTROLD, Actor, Entry
from controld.schema.endpoints import clients, gateways
from controld.schema.fleet import instances, letters, links
from rclib.wire.audit import AuditAction
from rclib.wire.control import GatewayState
from rclib.wire.ids import EndpointId, MessageId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement

    from controld.store import Tx

InstanceId = NewType("InstanceId", str)
STALE_MS: Final = 10_000
"""An instance that has not said that it lives for this long has no links any more."""
LETTERS_MS: Final = 3_600_000
"""Until then reconciliation or the end of a lease has said what the letter would have."""


class StrangerError(Exception):
    """A controld with other keys or another name serves this database already."""


class SupersededError(Exception):
    """This link is not the endpoint's any more; nothing it says may change anything."""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Where an endpoint is linked."""

    endpoint: EndpointId
    instance: InstanceId | None
    """None: nowhere."""
    claim: int
    changed: int
    gone_ms: int | None
    software: str
    state: GatewayState | None
    shut: str | None
    """Why the control plane closed it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way, readable for those who have the key."""

    message: MessageId
    endpoint: EndpointId
    sealed: bytes


# Instances.


def join(tx: Tx, me: InstanceId, family: bytes, now_ms: int) -> None:
    """Be one of those that serve this database; raises StrangerError."""
    others = tx.scalars(select(instances.c.family).where(instances.c.beat_ms > now_ms - STALE_MS))
    if any(other != family for other in others):
        raise StrangerError
    tx.execute(insert(instances).values(id=me, family=family, joined_ms=now_ms, beat_ms=now_ms))


def beat(tx: Tx, me: InstanceId, now_ms: int) -> bool:
    """Say that `me` lives; False if the others have already given it up."""
    said = update(instances).where(instances.c.id == me).values(beat_ms=now_ms)
    return tx.execute(said).rowcount == 1


def living(tx: Tx) -> Sequence[InstanceId]:
    """All that have not been given up, the oldest first."""
    query = select(instances.c.id).order_by(instances.c.joined_ms, instances.c.id)
    return [InstanceId(each) for each in tx.scalars(query)]


def bury(tx: Tx, now_ms: int) -> list[Entry]:
    """Give up who has fallen silent: its links are gone. Returns what is to go on record."""
    silent = tx.scalars(select(instances.c.id).where(instances.c.beat_ms <= now_ms - STALE_MS))
    entries: list[Entry] = []
    for instance in silent.all():
        entries += _closed(tx, links.c.instance == instance)
        leave(tx, InstanceId(instance), now_ms)
    return entries


def leave(tx: Tx, me: InstanceId, now_ms: int) -> None:
    """Be none of them any more, whether by one's own will or by the others'."""
    for endpoint in tx.scalars(select(links.c.endpoint).where(links.c.instance == me)).all():
        _change(tx, links.c.endpoint == endpoint, instance=None, gone_ms=now_ms)
    tx.execute(delete(instances).where(instances.c.id == me))


# Links.


def claim(tx: Tx, me: InstanceId, endpoint: EndpointId, software: str = "") -> int:
    """Make a new link of `me` the endpoint's one link, wherever the old one is."""
    number = _next(tx)
    new = {
        "instance": me, "claim": number, "changed": number,
        "gone_ms": None, "software": software, "state": None, "shut": None,
    }  # fmt: skip
    if tx.execute(update(links).where(links.c.endpoint == endpoint).values(new)).rowcount == 0:
        tx.execute(insert(links).values(endpoint=endpoint, **new))
    return number


def check_claim(tx: Tx, me: InstanceId, endpoint: EndpointId, number: int) -> None:
    """Raise SupersededError unless this is the endpoint's link."""
    if tx.scalar(select(links.c.endpoint).where(_is_held(me, endpoint, number))) is None:
        raise SupersededError


def keep_state(
    tx: Tx, me: InstanceId, endpoint: EndpointId, number: int, state: GatewayState
) -> None:
    """Let the other instances know what a gateway said."""
    _change(tx, _is_held(me, endpoint, number), state=msgspec.json.encode(state).decode())


def release(tx: Tx, me: InstanceId, endpoint: EndpointId, number: int, gone_ms: int) -> None:
    """This link has closed; a newer one stays."""
    _change(tx, _is_held(me, endpoint, number), instance=None, gone_ms=gone_ms)


def shut(tx: Tx, endpoint: EndpointId, why: str, now_ms: int) -> None:
    """End an endpoint's link, wherever it is: from this commit on it changes nothing."""
    is_linked = links.c.instance.is_not(None)
    where = (links.c.endpoint == endpoint) & is_linked
    _change(tx, where, instance=None, gone_ms=now_ms, shut=why)


def newest_change(tx: Tx) -> int:
    return tx.scalar(select(func.max(links.c.changed))) or 0


def changes_since(tx: Tx, number: int) -> Sequence[LinkRow]:
    """Every link that has changed after `number`, in that order."""
    query = select(links).where(links.c.changed > number).order_by(links.c.changed)
    return [
        LinkRow(
            endpoint=EndpointId(row.endpoint),
            instance=InstanceId(row.instance) if row.instance is not None else None,
            claim=row.claim,
            changed=row.changed,
            gone_ms=row.gone_ms,
            software=row.software,
            state=_state(row.state),
            shut=row.shut,
        )
        for row in tx.execute(query)
    ]


# Letters.


def post(tx: Tx, found: Iterable[Letter], now_ms: int) -> None:
    """Put letters into the box; one that is in there already stays as it is."""
    by_message = {letter.message: letter for letter in found}
    if not by_message:
        return
    query = select(letters.c.message).where(letters.c.message.in_(by_message))
    for known in tx.scalars(query).all():
        del by_message[MessageId(known)]
    if by_message:
        rows = [
            {"message": each.message, "endpoint": each.endpoint, "sealed": each.sealed}
            | {"posted_ms": now_ms}
            for each in by_message.values()
        ]
        tx.execute(insert(letters), rows)


def take_out(tx: Tx, messages: Iterable[MessageId]) -> None:
    """Forget letters that their endpoints have acknowledged."""
    if found := list(messages):
        tx.execute(delete(letters).where(letters.c.message.in_(found)))


def clear_out(tx: Tx, now_ms: int) -> None:
    """Forget letters that nobody came for."""
    tx.execute(delete(letters).where(letters.c.posted_ms <= now_ms - LETTERS_MS))


def letters_for(tx: Tx, me: InstanceId) -> Sequence[Letter]:
    """All that wait for endpoints linked here, delivered and unacknowledged ones included."""
    query = (
        select(letters.c.message, letters.c.endpoint, letters.c.sealed)
        .join(links, links.c.endpoint == letters.c.endpoint)
        .where(links.c.instance == me)
        .order_by(letters.c.id)
    )
    return [
        Letter(MessageId(row.message), EndpointId(row.endpoint), row.sealed)
        for row in tx.execute(query)
    ]


def _state(text: str | None) -> GatewayState | None:
    """What a gateway said; None also for what another release wrote: then it is not ON."""
    try:
        return msgspec.json.decode(text, type=GatewayState) if text is not None else None
    except msgspec.MsgspecError:
        return None


def _is_held(me: InstanceId, endpoint: EndpointId, number: int) -> ColumnElement[bool]:
    is_here = (links.c.endpoint == endpoint) & (links.c.instance == me)
    return is_here & (links.c.claim == number)


def _next(tx: Tx) -> int:
    return newest_change(tx) + 1


def _change(tx: Tx, where: ColumnElement[bool], **values: object) -> None:
    tx.execute(update(links).where(where).values(changed=_next(tx), **values))


def _closed(tx: Tx, where: ColumnElement[bool]) -> list[Entry]:
    """What to put on record of links that nobody has seen closing."""
    ends = union_all(
        *(select(kind.c.id, kind.c.organisation, kind.c.name) for kind in (gateways, clients))
    ).subquery()
    query = select(ends).join(links, links.c.endpoint == ends.c.id).where(where)
    return [
        Entry(
            action=AuditAction.LINK_CLOSED,
            organisation=row.organisation,
            actor=Actor(row.id, row.name),
            subject=row.id,
            detail={"reason": f"{CONTROLD.name} fell silent where it was linked"},
        )
        for row in tx.execute(query.order_by(ends.c.id))
    ]
