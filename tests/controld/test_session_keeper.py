"""What people and time do to sessions, as both ends see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.wire.control import (
    LeaseRenewal,
    SessionEnd,
    SessionOffer,
    SessionProgress,
    SessionRefusal,
)
from rclib.wire.session import EndReason, PathKind, RefusalReason

if TYPE_CHECKING:
    from tests.controld.world import Rig


async def test_a_gateway_that_does_not_answer_is_given_up(rig: Rig) -> None:
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    await rig.gateway.expect(SessionOffer)
    rig.world.clock.advance(61)
    await rig.world.server.sweeper.sweep()
    assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.GATEWAY_OFFLINE
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.REFUSED


async def test_an_administrator_ends_a_session_at_both_ends(rig: Rig) -> None:
    await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    await rig.world.admin.ok("POST", f"/sessions/{rig.session}/end")
    ended = SessionEnd(rig.session, EndReason.ADMINISTRATOR)
    assert await rig.gateway.expect(SessionEnd) == ended
    assert await rig.client.expect(SessionEnd) == ended


async def test_disabling_the_user_ends_the_session_at_the_gateway(rig: Rig) -> None:
    await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    users = (await rig.world.admin.ok("GET", "/users"))["users"]
    (tina,) = [user["id"] for user in users if user["name"] == "tina"]
    await rig.world.admin.ok("POST", f"/users/{tina}/disable")
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.USER_DISABLED


async def test_removing_the_device_ends_the_session(rig: Rig) -> None:
    await rig.granted()
    gateway = rig.gateway.endpoint
    (device,) = (await rig.world.admin.ok("GET", f"/gateways/{gateway}/devices"))["devices"]
    await rig.world.admin.ok("DELETE", f"/gateways/{gateway}/devices/{device['id']}")
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.TARGETS_CHANGED


async def test_the_lease_is_renewed_at_both_ends_until_the_absolute_end(rig: Rig) -> None:
    offer, _ = await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    sweeper = rig.world.server.sweeper
    await sweeper.sweep()  # nothing is due yet
    rig.world.clock.advance(201)
    await sweeper.sweep()
    at_gateway = await rig.gateway.expect(LeaseRenewal)
    at_client = await rig.client.expect(LeaseRenewal)
    assert at_gateway.lease_until_ms == at_client.lease_until_ms > offer.lease_until_ms
    assert at_gateway.relays != at_client.relays
    rig.world.clock.advance(4 * 3600)
    await sweeper.sweep()
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.TIME_OVER
    assert (await rig.client.expect(SessionEnd)).reason is EndReason.TIME_OVER


async def test_without_its_gateways_link_a_session_is_not_renewed_and_ends(rig: Rig) -> None:
    await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    await rig.gateway.hang_up()
    await rig.world.recorded("link_closed")
    rig.world.clock.advance(301)
    await rig.world.server.sweeper.sweep()
    rig.world.clock.advance(300)
    await rig.world.server.sweeper.sweep()
    assert (await rig.client.expect(SessionEnd)).reason is EndReason.GATEWAY_GONE


async def test_a_technician_who_stays_away_loses_the_session(rig: Rig) -> None:
    await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    await rig.client.hang_up()
    await rig.world.recorded("link_closed")
    rig.world.clock.advance(119)
    await rig.world.server.sweeper.sweep()
    assert (await rig.world.state(rig.session))["state"] == "active"
    rig.world.clock.advance(2)
    await rig.world.server.sweeper.sweep()
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.TECHNICIAN_GONE


async def test_an_unused_ticket_takes_the_session_back_to_prepared(rig: Rig) -> None:
    await rig.ticket()
    rig.world.clock.advance(61)
    await rig.world.server.sweeper.sweep()
    shown = await rig.world.state(rig.session)
    assert (shown["state"], shown["started_by"]) == ("prepared", None)
    await rig.granted()
