"""What may never happen to a session, whoever does what in whichever order.

Written anew from what a plant is promised, without the program's own rules. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controld.lifecycle import TRANSITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = ("starting", "active")
_STEPS = {(before.value, after.value) for (before, _), after in TRANSITIONS.items()}


@dataclass(frozen=True, slots=True)
class Facts:
    """The world at the moment of a decision."""

    now_ms: int
    lease_ms: int
    access: dict[str, str | None]
    """By gateway: what it last said on the link that is open; None without one."""
    policies: dict[str, str]
    roles: dict[str, str]
    """Of the users that are not disabled."""
    assigned: dict[str, set[str]]
    owners: dict[str, str]
    """Users by computer."""


def broken_laws(was: Any, now: Any, facts: Facts) -> Iterator[str]:  # noqa: ANN401 -- rows
    """Say which laws this change of one session breaks; `was` is None for a new one."""
    for law in _laws(was, now, facts):
        state = was.state if was is not None else None
        yield f"{now.id}: {state} -> {now.state}: {law}"


def _laws(was: Any, now: Any, facts: Facts) -> Iterator[str]:  # noqa: ANN401
    if was is None:
        if now.state != "prepared":
            yield "a session begins prepared"
        return
    if was.state != now.state and (was.state, now.state) not in _STEPS:
        yield "there is no such step"
    if now.state == "starting" and (was.state != "starting" or was.started_ms != now.started_ms):
        yield from _start(now, facts)
    if now.state in OPEN and now.client is not None and was.client is None:
        yield from _redeem(was, now, facts)
    if now.state in OPEN and now.answered and not was.answered:
        yield from _grant(was, now, facts)
    if now.state == "active" and not now.answered:
        yield "active without the gateway's answer"
    if now.state in OPEN and (now.lease_until_ms or 0) > (was.lease_until_ms or 0):
        yield from _lease(was, now, facts)
    is_same_start = now.state in OPEN and now.started_ms == was.started_ms
    if is_same_start and (now.not_after_ms or 0) > (was.not_after_ms or 0):
        yield "its absolute end moved away"


def _start(now: Any, facts: Facts) -> Iterator[str]:  # noqa: ANN401
    role = facts.roles.get(now.started_by)
    if role not in {"administrator", "rc_administrator", "rc_user"}:
        yield f"started by {role}"
    if role == "rc_user" and now.started_by not in facts.assigned.get(now.id, set()):
        yield "started by somebody it is not released for"
    if facts.access.get(now.gateway) not in {"on", "on_until"}:
        yield "started while the gateway is not ON"
    if now.not_after_ms is None or now.not_after_ms <= facts.now_ms:
        yield "started without an end"
    if now.window_until_ms is not None and facts.now_ms >= now.window_until_ms:
        yield "started after its window"
    if now.window_from_ms is not None and facts.now_ms < now.window_from_ms:
        yield "started before its window"
    if facts.policies[now.gateway] == "four_eyes":
        yield from _second_person(now)


def _second_person(now: Any) -> Iterator[str]:  # noqa: ANN401
    if now.released_by is None or now.requested_by is None:
        yield "without a second person"
    elif now.released_by in {now.requested_by, now.started_by}:
        yield "released by who asked for it or uses it"


def _redeem(was: Any, now: Any, facts: Facts) -> Iterator[str]:  # noqa: ANN401
    if was.state != "starting":
        yield "redeemed without a start"
    if facts.owners.get(now.client) != now.started_by:
        yield "redeemed on somebody else's computer"
    if facts.now_ms >= (was.redeem_by_ms or 0):
        yield "redeemed with an old ticket"


def _grant(was: Any, now: Any, facts: Facts) -> Iterator[str]:  # noqa: ANN401
    if was.state != "starting" or now.client is None:
        yield "granted to nobody"
    if facts.now_ms >= (now.lease_until_ms or 0) or facts.now_ms >= (now.not_after_ms or 0):
        yield "granted with a lease that is over"
    policy = facts.policies[now.gateway]
    if policy == "four_eyes":
        yield from _second_person(now)
    if (policy == "plant_release" or now.asked_plant) and now.release_signature is None:
        yield "granted without the plant's signed word"


def _lease(was: Any, now: Any, facts: Facts) -> Iterator[str]:  # noqa: ANN401
    if now.lease_until_ms > min(now.not_after_ms or 0, facts.now_ms + facts.lease_ms):
        yield "a lease longer than allowed"
    if was.lease_until_ms is not None and was.client == now.client:
        if was.state != "active":
            yield "a lease renewed for what is not active"
        if now.started_by not in facts.roles:
            yield "a lease renewed for somebody who is disabled"
