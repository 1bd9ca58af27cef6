"""T7, controld's part: what a gateway asks as another is refused, recorded, and hurts nobody.

Whose a session is follows from the link a message came over, and that from the enrolled key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rclib.wire.access import AccessMode
from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.control import (
    AuditBatch,
    GatewayState,
    PathSignal,
    SessionEnd,
    SessionEnded,
    SessionGrant,
    SessionOffer,
    SessionProgress,
    SessionRefusal,
    SessionRelease,
)
from rclib.wire.identity import enrol_statement, sign
from rclib.wire.link import LinkRefusal
from rclib.wire.session import EndReason, PathKind, RefusalReason
from tests.controld.callers import BAD_SIGNATURE, End

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.controld.world import Rig, World


@pytest.fixture
async def thief(rig: Rig) -> AsyncIterator[End]:
    """Another gateway of the same plant, honestly enrolled."""
    made = await rig.world.gateway("thief")
    await rig.world.online(made)
    yield made
    await made.hang_up()


async def is_untouched(rig: Rig) -> bool:
    """Whether the victim's link and session go on."""
    await rig.gateway.say(GatewayState(AccessMode.ON, sessions=(rig.session,)))
    return bool((await rig.world.state(rig.session))["state"] == "active")


@pytest.fixture
async def active(rig: Rig) -> Rig:
    await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    return rig


async def test_t7_a_gateways_messages_about_anothers_session_change_nothing(
    active: Rig, thief: End
) -> None:
    session = active.session
    bodies = (
        SessionEnded(session, EndReason.PLANT_KILLED),
        SessionProgress(session, PathKind.DIRECT),
        SessionRefusal(session, RefusalReason.ACCESS_OFF, "no"),
        SessionRelease(session, "nobody", 2**42, BAD_SIGNATURE),
        PathSignal(session, bytes(64)),
    )
    for count, body in enumerate(bodies, start=1):
        await thief.say(body)
        assert (await active.world.actions()).count("permission_denied") == count, body
    shown = await active.world.state(session)
    assert (shown["state"], shown["path"]) == ("active", "relay")
    assert await is_untouched(active)


async def test_t7_a_gateway_that_lists_anothers_session_is_told_it_has_none(
    active: Rig, thief: End
) -> None:
    await thief.say(GatewayState(AccessMode.ON, sessions=(active.session,)))
    assert await thief.expect(SessionEnd) == SessionEnd(active.session, EndReason.LEASE_ENDED)
    assert await is_untouched(active)


async def test_t7_an_answer_from_another_gateway_grants_nothing(rig: Rig, thief: End) -> None:
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    offer = await rig.gateway.expect(SessionOffer)
    await thief.say(rig.answer(offer))
    assert (await rig.world.state(rig.session))["state"] == "starting"
    assert "permission_denied" in await rig.world.actions()
    # The right one still can.
    await rig.gateway.put_body(rig.answer(offer))
    assert (await rig.client.expect(SessionGrant)).session == rig.session


async def test_t7_events_are_on_record_as_whose_link_they_came_over(
    active: Rig, thief: End
) -> None:
    event = AuditEvent(1, 1, AuditAction.ACCESS_CHANGED, session=active.session, actor="victim")
    await thief.say(AuditBatch((event,)))
    page = await active.world.admin.ok("GET", "/audit?limit=1000")
    (row,) = [r for r in page["records"] if r["action"] == "access_changed"]
    assert row["endpoint"] == thief.endpoint


async def test_t7_a_code_enrols_the_endpoint_it_was_made_for_whatever_is_asked(
    world: World,
) -> None:
    """There is no field for whom one wants to be; and a signature by another key is refused."""
    victim = await world.gateway("victim")
    made = await world.admin.ok("POST", "/gateways", {"name": "thief"})
    code = made["enrolment_code"]
    thief = End(world.anyone)
    wanted = thief.request(code) | {"endpoint": victim.endpoint}
    assert (await world.anyone("POST", "/enrol", wanted)).status == 400
    for key in (thief.key, victim.key):  # not its owner's word; its owner's, but it has an owner
        signature = sign(key, enrol_statement(code, victim.public))
        wanted = thief.request(code, identity_key=victim.public, signature=signature)
        assert (await world.anyone("POST", "/enrol", wanted)).status in {403, 409}
    await thief.enrol(code)
    assert thief.endpoint == made["gateway"] != victim.endpoint


async def test_t7_a_stolen_hello_is_refused_and_on_record(active: Rig, thief: End) -> None:
    await thief.hang_up()
    challenge = await thief.dial()
    await thief.hello(challenge.nonce, endpoint=active.gateway.endpoint)
    assert (await thief.refused()).reason is LinkRefusal.SIGNATURE
    page = await active.world.admin.ok("GET", "/audit?limit=1000")
    refused = [r for r in page["records"] if r["action"] == "link_refused"]
    assert [r["subject"] for r in refused] == [active.gateway.endpoint]
    assert await is_untouched(active)
