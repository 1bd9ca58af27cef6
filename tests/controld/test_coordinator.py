from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rclib.wire.access import AccessMode
from rclib.wire.admission import key_id_of, load_key, verify
from rclib.wire.control import (
    GatewayState,
    LeaseRenewal,
    SessionEnd,
    SessionEnded,
    SessionGrant,
    SessionOffer,
    SessionProgress,
    SessionRefusal,
)
from rclib.wire.identity import (
    Side,
    answer_key_statement,
    is_signed_by,
    offer_key_statement,
)
from rclib.wire.ids import RelayId, Signature
from rclib.wire.session import EndReason, PathKind, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from tests.controld.conftest import Rig, World


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


async def test_each_end_gets_the_others_key_with_its_proof(rig: Rig) -> None:
    offer, grant = await rig.granted()
    technician, gateway = offer.peer, grant.peer
    assert technician.identity_key == rig.client.public
    assert gateway.identity_key == rig.gateway.public
    statement = offer_key_statement(rig.session, technician.tunnel_key)
    assert is_signed_by(technician.identity_key, statement, technician.signature)
    statement = answer_key_statement(
        rig.session, gateway.tunnel_key, technician.identity_key, technician.tunnel_key
    )
    assert is_signed_by(gateway.identity_key, statement, gateway.signature)


async def test_each_end_gets_its_own_admission_until_the_lease_ends(rig: Rig) -> None:
    offer, grant = await rig.granted()
    key = load_key((rig.world.directory / "token-key.pub.pem").read_bytes())
    keys, now = {key_id_of(key): key}, rig.world.clock() / 1000
    for message, side, identity in (
        (offer, Side.GATEWAY, rig.gateway.public),
        (grant, Side.TECHNICIAN, rig.client.public),
    ):
        (leg,) = message.relays
        admission = verify(leg.token, keys, RelayId("r0"), now)
        assert (admission.sub, admission.side, admission.key) == (rig.session, side, identity)
        assert admission.exp == message.lease_until_ms // 1000


async def test_the_technician_can_dial_the_relays_while_the_gateway_is_asked(rig: Rig) -> None:
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    early = await rig.client.relays()
    offer = await rig.gateway.expect(SessionOffer)
    assert [leg.relay for leg in early.relays] == [leg.relay for leg in offer.relays]
    await rig.gateway.put_body(rig.answer(offer))
    grant = await rig.client.expect(SessionGrant)
    assert [leg.url for leg in early.relays] == [leg.url for leg in grant.relays]


async def test_a_ticket_works_once(rig: Rig) -> None:
    ticket = await rig.ticket()
    await rig.client.put_body(rig.redeem(ticket))
    await rig.gateway.expect(SessionOffer)
    await rig.client.put_body(rig.redeem(ticket))
    refusal = await rig.client.expect(SessionRefusal)
    assert refusal.reason is RefusalReason.TICKET_INVALID
    assert "ticket_refused" in await rig.world.actions()


async def test_a_stolen_ticket_serves_nobody_else(rig: Rig) -> None:
    ticket = await rig.ticket()
    _, other = await rig.world.admin.new_user("otto", "rc_administrator")
    thief = await rig.world.client(other)
    await thief.link()
    await thief.put_body(rig.redeem(ticket, by=thief))
    assert (await thief.expect(SessionRefusal)).reason is RefusalReason.TICKET_INVALID
    await rig.client.put_body(rig.redeem(ticket))  # and is not spent by the attempt
    await rig.gateway.expect(SessionOffer)
    await thief.hang_up()


async def test_an_expired_ticket_is_refused(rig: Rig) -> None:
    ticket = await rig.ticket()
    rig.world.clock.advance(61)
    await rig.client.put_body(rig.redeem(ticket))
    assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.TICKET_INVALID


async def test_pressing_start_again_voids_the_first_ticket(rig: Rig) -> None:
    first, second = await rig.ticket(), await rig.ticket()
    await rig.client.put_body(rig.redeem(first))
    assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.TICKET_INVALID
    await rig.client.put_body(rig.redeem(second))
    await rig.gateway.expect(SessionOffer)


async def test_a_tunnel_key_that_the_computer_did_not_sign_is_refused(rig: Rig) -> None:
    ticket = await rig.ticket()
    await rig.client.put_body(rig.redeem(ticket, signature=Signature(bytes(64))))
    assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.BAD_SIGNATURE


async def test_an_answer_that_the_gateway_did_not_sign_ends_the_session(rig: Rig) -> None:
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    offer = await rig.gateway.expect(SessionOffer)
    await rig.gateway.put_body(rig.answer(offer, signature=Signature(bytes(64))))
    assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.BAD_SIGNATURE
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.REFUSED


async def test_a_refusal_of_the_plant_reaches_the_technician(rig: Rig) -> None:
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    await rig.gateway.expect(SessionOffer)
    refusal = SessionRefusal(rig.session, RefusalReason.ACCESS_OFF, "switched off")
    await rig.gateway.say(refusal)
    assert await rig.client.expect(SessionRefusal) == refusal
    shown = await rig.world.state(rig.session)
    assert (shown["state"], shown["end_reason"]) == ("refused", "refused")


async def test_a_gateway_that_does_not_answer_is_given_up(rig: Rig) -> None:
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    await rig.gateway.expect(SessionOffer)
    rig.world.clock.advance(61)
    await rig.world.server.sweeper.sweep()
    assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.GATEWAY_OFFLINE
    assert (await rig.gateway.expect(SessionEnd)).reason is EndReason.REFUSED


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


async def test_two_sessions_of_one_gateway_have_different_link_addresses(rig: Rig) -> None:
    offer, _ = await rig.granted()
    users = (await rig.world.admin.ok("GET", "/users"))["users"]
    rig.session = await rig.world.session(rig.gateway, *(user["id"] for user in users))
    other, _ = await rig.granted()
    addresses = {
        offer.link.technician,
        offer.link.gateway,
        other.link.technician,
        other.link.gateway,
    }
    assert len(addresses) == 4


@pytest.mark.parametrize(("progressed", "state"), [(True, "active"), (False, "ended")])
async def test_a_restart_keeps_active_sessions_and_ends_half_started_ones(
    open_world: Callable[..., Any],
    make_rig: Callable[[World], Awaitable[Rig]],
    progressed: bool,
    state: str,
) -> None:
    async with open_world() as world:
        rig = await make_rig(world)
        await rig.granted()
        if progressed:
            await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    gateway, client = rig.gateway, rig.client
    async with open_world(signed_in=True) as world:
        gateway.api = client.api = world.anyone
        await gateway.link()
        if not progressed:
            assert (await gateway.expect(SessionEnd)).reason is EndReason.LEASE_ENDED
        await gateway.put_body(GatewayState(AccessMode.ON, sessions=(rig.session,)))
        await client.link()
        assert (await world.state(rig.session))["state"] == state
        await gateway.hang_up()
        await client.hang_up()


async def test_an_answer_that_comes_after_the_lease_grants_nothing(rig: Rig) -> None:
    """Even if the sweep that would have ended it has not come by."""
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    offer = await rig.gateway.expect(SessionOffer)
    rig.world.clock.advance(601)
    await rig.gateway.say(rig.answer(offer))
    assert not rig.client.heard
    await rig.world.server.sweeper.sweep()
    assert isinstance((await rig.client.message()).body, SessionRefusal)
    assert (await rig.world.state(rig.session))["state"] in {"refused", "ended"}
