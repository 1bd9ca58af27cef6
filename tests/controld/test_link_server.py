from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from controld.store import StoreUnavailableError
from rclib.wire.access import AccessMode
from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.control import AuditBatch, GatewayState, SessionEnd, SessionProgress, TicketRedeem
from rclib.wire.ids import EndpointId, MessageId, SessionId, Signature, TunnelKey
from rclib.wire.link import Ack, LinkRefusal, LinkWelcome
from rclib.wire.session import EndReason, PathKind

if TYPE_CHECKING:
    from tests.controld.world import World


def events(*numbers: int) -> AuditBatch:
    return AuditBatch(
        tuple(AuditEvent(seq, 1000 + seq, AuditAction.GATEWAY_STARTED) for seq in numbers)
    )


async def test_a_gateway_that_proves_its_identity_is_online_once_it_said_on(world: World) -> None:
    gateway = await world.gateway()
    welcome = await gateway.link()
    assert welcome.name == "press 1"
    (before,) = (await world.admin.ok("GET", "/gateways"))["gateways"]
    await gateway.say(GatewayState(AccessMode.ON, plant_networks=("192.168.10.0/24",)))
    (after,) = (await world.admin.ok("GET", "/gateways"))["gateways"]
    assert (before["access"], after["access"]) == (None, "on")
    assert after["plant_networks"] == ["192.168.10.0/24"]
    await gateway.hang_up()


async def test_one_gateways_key_cannot_open_another_gateways_link(world: World) -> None:
    honest, thief = await world.gateway("b"), await world.gateway("a")
    await world.online(honest)
    challenge = await thief.dial()
    await thief.hello(challenge.nonce, endpoint=honest.endpoint)
    assert (await thief.refused()).reason is LinkRefusal.SIGNATURE
    await honest.say(GatewayState(AccessMode.ON))  # its link is untouched
    assert "link_refused" in await world.actions()
    await honest.hang_up()


async def test_a_proof_made_for_one_challenge_does_not_serve_for_the_next(world: World) -> None:
    gateway = await world.gateway()
    first = await gateway.dial()
    await gateway.hang_up()
    await gateway.dial()
    await gateway.hello(first.nonce)
    assert (await gateway.refused()).reason is LinkRefusal.SIGNATURE


async def test_an_endpoint_that_never_enrolled_is_unknown(world: World) -> None:
    gateway = await world.gateway()
    challenge = await gateway.dial()
    await gateway.hello(challenge.nonce, endpoint=EndpointId("gwy_" + "a" * 16))
    assert (await gateway.refused()).reason is LinkRefusal.UNKNOWN


async def test_another_version_is_refused_by_name(world: World) -> None:
    gateway = await world.gateway()
    challenge = await gateway.dial()
    await gateway.hello(challenge.nonce, version=99)
    assert (await gateway.refused()).reason is LinkRefusal.VERSION


async def test_a_browser_cannot_open_a_link(world: World) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await world.anyone.http.ws_connect(
            f"{world.anyone.base}/api/v1/link", headers={"Origin": "https://evil.example"}
        )
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"type":"hello"}', '{"type":"nonsense"}', '{"type":"ack","id":1}']
)
async def test_a_malformed_frame_gets_one_clear_refusal(world: World, text: str) -> None:
    gateway = await world.gateway()
    await gateway.link()
    assert gateway.socket is not None
    await gateway.socket.send_str(text)
    refusal = await gateway.refused()
    assert refusal.reason is LinkRefusal.PROTOCOL
    assert refusal.detail
    assert "Traceback" not in refusal.detail


async def test_a_binary_frame_is_refused(world: World) -> None:
    gateway = await world.gateway()
    await gateway.link()
    assert gateway.socket is not None
    await gateway.socket.send_bytes(b"\0")
    assert (await gateway.refused()).reason is LinkRefusal.PROTOCOL


async def test_the_first_message_has_to_be_a_hello(world: World) -> None:
    gateway = await world.gateway()
    await gateway.dial()
    await gateway.put(Ack(MessageId("msg_" + "a" * 16)))
    assert (await gateway.refused()).reason is LinkRefusal.PROTOCOL


async def test_a_gateway_that_redeems_tickets_loses_its_link(world: World) -> None:
    gateway = await world.gateway()
    await gateway.link()
    session, signature = SessionId("ses_" + "a" * 16), Signature(bytes(64))
    await gateway.put_body(TicketRedeem(session, "t" * 20, TunnelKey(bytes(32)), signature))
    assert (await gateway.refused()).reason is LinkRefusal.PROTOCOL


async def test_a_new_link_of_the_same_endpoint_replaces_the_old(world: World) -> None:
    gateway = await world.gateway()
    await gateway.link()
    old, gateway.socket = gateway.socket, None
    await gateway.link()
    new, gateway.socket = gateway.socket, old
    assert (await gateway.refused()).reason is LinkRefusal.REPLACED
    gateway.socket = new
    await gateway.say(GatewayState(AccessMode.ON))
    (shown,) = (await world.admin.ok("GET", "/gateways"))["gateways"]
    assert shown["access"] == "on"
    await gateway.hang_up()


async def test_what_was_not_acknowledged_comes_again_on_the_next_link(world: World) -> None:
    gateway = await world.gateway()
    stranger = SessionId("ses_" + "b" * 16)
    await gateway.link()
    await gateway.put_body(GatewayState(AccessMode.ON, sessions=(stranger,)))
    first = await gateway.message()
    await gateway.hang_up()
    await gateway.link()
    again = await gateway.message()
    assert first.body == again.body == SessionEnd(stranger, EndReason.LEASE_ENDED)
    assert first.id == again.id
    assert again.sent_ms >= first.sent_ms
    await gateway.put(Ack(again.id))
    await gateway.say(GatewayState(AccessMode.ON))
    await gateway.hang_up()
    await gateway.link()
    await gateway.say(GatewayState(AccessMode.ON))  # nothing but the Ack comes
    await gateway.hang_up()


async def test_uploaded_events_are_stored_once_and_the_welcome_says_how_far(world: World) -> None:
    gateway = await world.gateway()
    assert (await gateway.link()).audit_seq == 0
    await gateway.say(events(1, 2))
    await gateway.say(events(1, 2, 3))  # repeated under a new message id, after a lost Ack
    await gateway.hang_up()
    assert (await gateway.link()).audit_seq == 3
    assert (await world.actions()).count("gateway_started") == 3
    await gateway.hang_up()


async def test_a_gap_in_uploaded_events_is_stored_and_flagged(world: World) -> None:
    gateway = await world.gateway()
    await gateway.link()
    await gateway.say(events(1, 5))
    await gateway.say(events(3))  # turns up late
    records = (await world.admin.ok("GET", "/audit?limit=1000"))["records"]
    found = {r["endpoint_seq"]: r["endpoint_gap"] for r in records if r["endpoint"]}
    assert found == {1: 0, 5: 3, 3: 0}
    await gateway.hang_up()


async def test_a_message_repeated_under_its_id_is_handled_once(world: World) -> None:
    gateway = await world.gateway()
    await gateway.link()
    message = await gateway.say(events(1))
    await gateway.say(events(1), message)
    assert (await world.actions()).count("gateway_started") == 1
    await gateway.hang_up()


async def test_a_repeated_alarm_is_raised_once(world: World) -> None:
    gateway = await world.gateway()
    await gateway.link()
    foreign = SessionProgress(SessionId("ses_" + "a" * 16), PathKind.RELAY)
    message = await gateway.say(foreign)
    await gateway.say(foreign, message)
    assert (await world.actions()).count("permission_denied") == 1
    await gateway.hang_up()


async def test_disabling_a_user_closes_their_links(world: World) -> None:
    user, technician = await world.admin.new_user("tina", "rc_user")
    client = await world.client(technician)
    await client.link()
    await world.admin.ok("POST", f"/users/{user}/disable")
    assert (await client.refused()).reason is LinkRefusal.UNKNOWN
    challenge = await client.dial()
    await client.hello(challenge.nonce)
    assert (await client.refused()).reason is LinkRefusal.UNKNOWN


async def test_enrolling_anew_ends_the_old_identity(world: World) -> None:
    gateway = await world.gateway()
    await gateway.link()
    renewed = await world.admin.ok("POST", f"/gateways/{gateway.endpoint}/enrolment")
    replacement = await type(gateway)(world.anyone).enrol(renewed["enrolment_code"])
    assert replacement.endpoint == gateway.endpoint
    assert (await gateway.refused()).reason is LinkRefusal.UNKNOWN
    challenge = await gateway.dial()
    await gateway.hello(challenge.nonce)
    assert (await gateway.refused()).reason is LinkRefusal.SIGNATURE
    assert isinstance(await replacement.link(), LinkWelcome)
    await replacement.hang_up()


async def test_while_the_database_is_away_a_link_is_told_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await world.gateway()
    challenge = await gateway.dial()

    async def away(_: object) -> None:
        raise StoreUnavailableError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(world.server.services.store, "read", away)
        await gateway.hello(challenge.nonce)
        assert (await gateway.refused()).reason is LinkRefusal.SHUTTING_DOWN
    await gateway.link()
    await gateway.hang_up()
