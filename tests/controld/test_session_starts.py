"""From the ticket to the grant: who is admitted, and what each end gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.wire.admission import key_id_of, load_key, verify
from rclib.wire.control import SessionEnd, SessionGrant, SessionOffer, SessionRefusal
from rclib.wire.identity import Side, answer_key_statement, is_signed_by, offer_key_statement
from rclib.wire.ids import RelayId, Signature
from rclib.wire.session import EndReason, RefusalReason

if TYPE_CHECKING:
    from tests.controld.world import Rig


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
