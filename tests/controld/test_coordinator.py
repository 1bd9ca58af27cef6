from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rclib.wire.access import AccessMode
from rclib.wire.control import (
    GatewayState,
    SessionEnd,
    SessionEnded,
    SessionGrant,
    SessionOffer,
    SessionProgress,
    SessionRefusal,
)
from rclib.wire.session import EndReason, PathKind, RefusalReason
from tests.controld.world import make_rig

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.controld.world import Rig


async def test_a_session_goes_from_prepared_to_active_to_ended(rig: Rig) -> None:
    offer, grant = await rig.granted()
    assert (await rig.world.state(rig.session))["state"] == "starting"
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    shown = await rig.world.state(rig.session)
    assert (shown["state"], shown["path"]) == ("active", "relay")
    await rig.client.say(SessionProgress(rig.session, PathKind.DIRECT))
    assert (await rig.world.state(rig.session))["path"] == "direct"
    await rig.client.say(SessionEnd(rig.session, EndReason.ADMINISTRATOR))
    assert await rig.gateway.expect(SessionEnd) == SessionEnd(rig.session, EndReason.TECHNICIAN)
    shown = await rig.world.state(rig.session)
    assert (shown["state"], shown["end_reason"]) == ("ended", "technician")
    assert offer.link == grant.link
    assert offer.technician.user == "tina"
    actions = await rig.world.actions()
    steps = ["prepared", "started", "active", "ended"]
    assert [a for a in actions if a.startswith("session_")] == [f"session_{s}" for s in steps]


async def test_a_refusal_of_the_plant_reaches_the_technician(rig: Rig) -> None:
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    await rig.gateway.expect(SessionOffer)
    refusal = SessionRefusal(rig.session, RefusalReason.ACCESS_OFF, "switched off")
    await rig.gateway.say(refusal)
    assert await rig.client.expect(SessionRefusal) == refusal
    shown = await rig.world.state(rig.session)
    assert (shown["state"], shown["end_reason"]) == ("refused", "refused")


async def test_another_gateway_cannot_answer_move_or_end_a_session(rig: Rig) -> None:
    stranger = await rig.world.gateway("press 2")
    await rig.world.online(stranger)
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    offer = await rig.gateway.expect(SessionOffer)
    await stranger.say(rig.answer(offer))
    await stranger.say(SessionProgress(rig.session, PathKind.RELAY))
    await stranger.say(SessionEnded(rig.session, EndReason.PLANT_OFF))
    await stranger.say(SessionRefusal(rig.session, RefusalReason.BUSY))
    assert (await rig.world.state(rig.session))["state"] == "starting"
    assert (await rig.world.actions()).count("permission_denied") == 4
    await rig.gateway.put_body(rig.answer(offer))
    await rig.client.expect(SessionGrant)
    await stranger.hang_up()


async def test_what_the_gateway_does_not_list_has_ended(rig: Rig) -> None:
    await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    await rig.gateway.say(GatewayState(AccessMode.ON, sessions=(rig.session,)))
    assert (await rig.world.state(rig.session))["state"] == "active"
    await rig.gateway.say(GatewayState(AccessMode.ON))
    assert (await rig.client.expect(SessionEnd)).reason is EndReason.GATEWAY_GONE


async def test_a_late_word_about_an_ended_session_is_answered_with_its_end(rig: Rig) -> None:
    await rig.granted()
    await rig.world.admin.ok("POST", f"/sessions/{rig.session}/end")
    await rig.gateway.expect(SessionEnd)
    await rig.gateway.put_body(SessionProgress(rig.session, PathKind.RELAY))
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.ADMINISTRATOR
    assert (await rig.world.state(rig.session))["state"] == "ended"


@pytest.mark.parametrize(("progressed", "state"), [(True, "active"), (False, "ended")])
async def test_a_restart_keeps_active_sessions_and_ends_half_started_ones(
    open_world: Callable[..., Any],
    progressed: bool,
    state: str,
) -> None:
    async with open_world() as world:
        rig = await make_rig(world)
        await rig.granted()
        if progressed:
            await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    gateway, client = rig.gateway, rig.client
    async with open_world() as world:
        gateway.api = client.api = world.anyone
        await gateway.link()
        if not progressed:
            assert (await gateway.expect(SessionEnd)).reason is EndReason.LEASE_ENDED
        await gateway.put_body(GatewayState(AccessMode.ON, sessions=(rig.session,)))
        await client.link()
        assert (await world.state(rig.session))["state"] == state
        await gateway.hang_up()
        await client.hang_up()
