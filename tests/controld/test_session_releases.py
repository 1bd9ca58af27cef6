"""Whose word a start needs: a second person's in the portal, or the plant's, signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rclib.wire.control import (
    ReleasePending,
    SessionEnd,
    SessionEnded,
    SessionGrant,
    SessionOffer,
    SessionProgress,
    SessionRefusal,
    SessionRelease,
)
from rclib.wire.identity import release_statement, sign
from rclib.wire.ids import Signature
from rclib.wire.session import EndReason, PathKind, RefusalReason

if TYPE_CHECKING:
    from tests.controld.callers import Answer, Api
    from tests.controld.world import Rig, World

POLICY: dict[str, Any] = {
    "release": "open",
    "reason": "optional",
    "max_sessions": 4,
    "max_duration_s": 86_400,
    "idle_timeout_s": 0,
    "time_zone": "UTC",
    "windows": [],
}
BY = "shift lead @ 192.168.1.20"


async def set_policy(rig: Rig, **changes: Any) -> Answer:  # noqa: ANN401
    path = f"/gateways/{rig.gateway.endpoint}/policy"
    tag = (await rig.world.admin("GET", path)).headers["ETag"]
    answer = await rig.world.admin("PUT", path, POLICY | changes, headers={"If-Match": tag})
    assert answer.status == 200, answer
    return answer


async def change_plan(rig: Rig, **changes: Any) -> Answer:  # noqa: ANN401
    path = f"/sessions/{rig.session}"
    shown = await rig.world.admin("GET", path)
    keys = ("name", "users", "duration_s", "reason", "reference")
    plan = {key: shown.body[key] for key in keys} | changes
    plan.setdefault(
        "targets",
        [{k: t.get(k) for k in ("device", "protocol", "port")} for t in shown.body["targets"]],
    )
    tag = {"If-Match": shown.headers["ETag"]}
    return await rig.world.admin("PUT", path, plan, headers=tag)


async def press_start(rig: Rig, by: Api | None = None, body: Any = None) -> Answer:  # noqa: ANN401
    return await (by or rig.technician)("POST", f"/sessions/{rig.session}/start", body)


class TestFourEyes:
    """A second person, never the one who asked nor the one who will use it."""

    @pytest.fixture
    async def eyes(self, rig: Rig) -> Rig:
        await set_policy(rig, release="four_eyes")
        return rig

    async def test_nothing_starts_before_the_release_and_it_does_after(self, eyes: Rig) -> None:
        at = f"/sessions/{eyes.session}"
        assert (await press_start(eyes)).code == "not_released"
        asked = await eyes.technician.ok("POST", f"{at}/request")
        assert asked["state"] == "requested"
        assert (await press_start(eyes)).code == "not_released"
        released = await eyes.world.admin.ok("POST", f"{at}/release")
        assert released["state"] == "released"
        _, grant = await eyes.granted()
        assert grant.session == eyes.session
        actions = await eyes.world.actions()
        assert actions.index("release_requested") < actions.index("session_released")

    async def test_nobody_releases_what_they_asked_for(self, eyes: Rig) -> None:
        at = f"/sessions/{eyes.session}"
        await eyes.world.admin.ok("POST", f"{at}/request")
        answer = await eyes.world.admin("POST", f"{at}/release")
        assert (answer.status, answer.code) == (403, "own_request")
        assert (await eyes.world.state(eyes.session))["state"] == "requested"

    async def test_nobody_releases_what_they_will_use(self, eyes: Rig) -> None:
        user, otto = await eyes.world.admin.new_user("otto", "rc_administrator")
        assigned = await change_plan(eyes, users=[user])
        assert assigned.status == 200
        await eyes.world.admin.ok("POST", f"/sessions/{eyes.session}/request")
        answer = await otto("POST", f"/sessions/{eyes.session}/release")
        assert (answer.status, answer.code) == (403, "own_session")

    async def test_who_released_it_cannot_start_it(self, eyes: Rig) -> None:
        at = f"/sessions/{eyes.session}"
        _, otto = await eyes.world.admin.new_user("otto", "rc_administrator")
        await eyes.technician.ok("POST", f"{at}/request")
        await otto.ok("POST", f"{at}/release")
        assert (await press_start(eyes, otto)).code == "released_by_you"

    async def test_a_user_releases_nothing(self, eyes: Rig) -> None:
        await eyes.world.admin.ok("POST", f"/sessions/{eyes.session}/request")
        answer = await eyes.technician("POST", f"/sessions/{eyes.session}/release")
        assert (answer.status, answer.code) == (403, "forbidden")

    async def test_a_refused_session_is_over(self, eyes: Rig) -> None:
        at = f"/sessions/{eyes.session}"
        await eyes.technician.ok("POST", f"{at}/request")
        assert (await eyes.world.admin.ok("POST", f"{at}/refuse"))["state"] == "refused"
        assert (await press_start(eyes)).code == "session_over"
        assert (await eyes.world.admin("POST", f"{at}/release")).code == "wrong_state"

    async def test_an_unused_ticket_leaves_it_released(self, eyes: Rig) -> None:
        at = f"/sessions/{eyes.session}"
        await eyes.technician.ok("POST", f"{at}/request")
        await eyes.world.admin.ok("POST", f"{at}/release")
        await eyes.ticket()
        eyes.world.clock.advance(61)
        await eyes.world.server.sweeper.sweep()
        assert (await eyes.world.state(eyes.session))["state"] == "released"
        await eyes.granted()

    async def test_a_release_that_nobody_uses_lapses(self, eyes: Rig) -> None:
        at = f"/sessions/{eyes.session}"
        await eyes.technician.ok("POST", f"{at}/request")
        await eyes.world.admin.ok("POST", f"{at}/release")
        released = (await eyes.world.state(eyes.session))["released_ms"]
        eyes.world.clock.advance(86_400)
        await eyes.world.server.sweeper.sweep()
        eyes.world.admin = await eyes.world.anyone.login("admin", "correct horse battery")
        shown = await eyes.world.state(eyes.session)
        assert released is not None
        assert (shown["state"], shown["released_by"]) == ("prepared", None)

    @pytest.mark.parametrize(
        "change",
        [
            {"duration_s": 60},
            {"users": []},
            {"window_until_ms": 2**50},
            {"targets": "port"},
        ],
    )
    async def test_another_plan_needs_another_release(
        self, eyes: Rig, change: dict[str, Any]
    ) -> None:
        at = f"/sessions/{eyes.session}"
        await eyes.technician.ok("POST", f"{at}/request")
        await eyes.world.admin.ok("POST", f"{at}/release")
        if change.get("targets") == "port":
            device = await eyes.world.device(eyes.gateway, "hmi")
            change = {"targets": [{"device": device, "protocol": "tcp", "port": 502}]}
        changed = await change_plan(eyes, **change)
        assert changed.status == 200
        assert (changed.body["state"], changed.body["released_by"]) == ("prepared", None)
        assert "session_changed" in await eyes.world.actions()

    async def test_another_name_or_reason_does_not(self, eyes: Rig) -> None:
        at = f"/sessions/{eyes.session}"
        await eyes.technician.ok("POST", f"{at}/request")
        await eyes.world.admin.ok("POST", f"{at}/release")
        changed = await change_plan(eyes, name="another name", reason="because")
        assert changed.body["state"] == "released"
        await eyes.granted()

    async def test_without_the_policy_there_is_nothing_to_ask_for(self, rig: Rig) -> None:
        answer = await rig.technician("POST", f"/sessions/{rig.session}/request")
        assert (answer.status, answer.code) == (409, "no_release_wanted")


async def test_changing_an_open_session_closes_it_and_it_can_be_started_again(rig: Rig) -> None:
    await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    changed = await change_plan(rig, duration_s=1200)
    assert changed.body["state"] == "prepared"
    closed = SessionEnd(rig.session, EndReason.TARGETS_CHANGED)
    assert await rig.gateway.expect(SessionEnd) == closed
    assert await rig.client.expect(SessionEnd) == closed
    # What the ends say about the start that is over does not touch the next one.
    await rig.client.put_body(rig.redeem(await rig.ticket()))
    await rig.gateway.say(SessionEnded(rig.session, EndReason.TARGETS_CHANGED))
    offer = await rig.gateway.expect(SessionOffer)
    await rig.gateway.put_body(rig.answer(offer))
    assert (await rig.client.expect(SessionGrant)).session == rig.session


class TestPlantRelease:
    """The plant's word counts only with its gateway's signature, over exactly this session."""

    @pytest.fixture
    async def offered(self, rig: Rig) -> tuple[Rig, SessionOffer]:
        await set_policy(rig, release="plant_release")
        await rig.client.put_body(rig.redeem(await rig.ticket()))
        offer = await rig.gateway.expect(SessionOffer)
        pending = ReleasePending(rig.session, 300, rig.gateway.public)
        await rig.gateway.say(pending)
        assert await rig.client.expect(ReleasePending) == pending
        return rig, offer

    def release(self, rig: Rig, offer: SessionOffer, **changes: Any) -> SessionRelease:  # noqa: ANN401
        fields: dict[str, Any] = {"until_ms": offer.not_after_ms, "by": BY} | changes
        signed = release_statement(
            rig.session,
            offer.peer.identity_key,
            offer.targets,
            fields["until_ms"],
            fields["by"],
        )
        fields.setdefault("signature", sign(rig.gateway.key, signed))
        return SessionRelease(session=rig.session, **fields)

    async def test_the_offer_says_so_and_the_release_lets_it_through(
        self, offered: tuple[Rig, SessionOffer]
    ) -> None:
        rig, offer = offered
        assert offer.needs_release
        assert offer.technician.source == "127.0.0.1"
        assert (await rig.world.state(rig.session))["waits_for_plant"]
        until_ms = offer.not_after_ms - 3600_000
        await rig.gateway.say(self.release(rig, offer, until_ms=until_ms))
        await rig.gateway.put_body(rig.answer(offer))
        grant = await rig.client.expect(SessionGrant)
        assert grant.not_after_ms == until_ms
        shown = await rig.world.state(rig.session)
        assert (shown["released_by"], shown["waits_for_plant"]) == (BY, False)

    async def test_an_answer_without_the_release_is_no_grant(
        self, offered: tuple[Rig, SessionOffer]
    ) -> None:
        rig, offer = offered
        await rig.gateway.put_body(rig.answer(offer))
        assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.NOT_RELEASED
        assert (await rig.world.state(rig.session))["state"] == "refused"

    async def test_a_release_that_the_gateway_did_not_sign_like_this_is_refused(
        self, offered: tuple[Rig, SessionOffer]
    ) -> None:
        rig, offer = offered
        genuine = self.release(rig, offer)
        forged = SessionRelease(rig.session, "somebody else", genuine.until_ms, genuine.signature)
        await rig.gateway.say(forged)
        assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.BAD_SIGNATURE

    async def test_no_release_lengthens_the_session(
        self, offered: tuple[Rig, SessionOffer]
    ) -> None:
        rig, offer = offered
        await rig.gateway.say(self.release(rig, offer, until_ms=offer.not_after_ms + 1))
        assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.BAD_SIGNATURE

    async def test_an_empty_signature_is_none(self, offered: tuple[Rig, SessionOffer]) -> None:
        rig, offer = offered
        await rig.gateway.say(self.release(rig, offer, signature=Signature(bytes(64))))
        assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.BAD_SIGNATURE

    async def test_controld_waits_as_long_as_the_plant_but_not_longer_than_the_lease(
        self, offered: tuple[Rig, SessionOffer]
    ) -> None:
        rig, _ = offered
        rig.world.clock.advance(299)
        await rig.world.server.sweeper.sweep()
        assert (await rig.world.state(rig.session))["state"] == "starting"
        rig.world.clock.advance(62)
        await rig.world.server.sweeper.sweep()
        assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.GATEWAY_OFFLINE

    async def test_a_gateway_may_want_a_release_that_no_policy_wants(self, rig: Rig) -> None:
        await rig.client.put_body(rig.redeem(await rig.ticket()))
        offer = await rig.gateway.expect(SessionOffer)
        assert not offer.needs_release
        await rig.gateway.say(ReleasePending(rig.session, 300, rig.gateway.public))
        await rig.client.expect(ReleasePending)
        await rig.gateway.put_body(rig.answer(offer))
        assert (await rig.client.expect(SessionRefusal)).reason is RefusalReason.NOT_RELEASED

    async def test_a_stranger_releases_nothing(self, offered: tuple[Rig, SessionOffer]) -> None:
        rig, offer = offered
        stranger = await rig.world.gateway("press 2")
        await rig.world.online(stranger)
        await stranger.say(self.release(rig, offer))
        assert (await rig.world.state(rig.session))["waits_for_plant"]
        assert "permission_denied" in await rig.world.actions()
        await stranger.hang_up()


class TestPolicy:
    """What a gateway's policy does to starts."""

    async def test_a_required_reason_may_come_with_the_start(self, rig: Rig) -> None:
        await set_policy(rig, reason="required")
        await change_plan(rig, reason="")
        assert (await press_start(rig)).code == "reason_required"
        said = {"reason": "fault 0x2310", "reference": "SR-4711"}
        assert (await press_start(rig, body=said)).status == 200
        shown = await rig.world.state(rig.session)
        assert (shown["reason"], shown["reference"]) == ("fault 0x2310", "SR-4711")
        records = (await rig.world.admin.ok("GET", "/audit?limit=1000"))["records"]
        (started,) = [r for r in records if r["action"] == "session_started"]
        assert started["detail"]["reference"] == "SR-4711"

    async def test_where_no_reason_is_wanted_none_is_kept(self, rig: Rig) -> None:
        await set_policy(rig, reason="off")
        await press_start(rig, body={"reason": "gossip"})
        assert (await rig.world.state(rig.session))["reason"] != "gossip"

    async def test_the_gateway_takes_only_so_many_sessions(self, rig: Rig) -> None:
        await set_policy(rig, max_sessions=1)
        await rig.ticket()
        first, rig.session = rig.session, await rig.world.session(rig.gateway)
        assert (await press_start(rig, rig.world.admin)).code == "gateway_busy"
        await rig.world.admin.ok("POST", f"/sessions/{first}/end")
        assert (await press_start(rig, rig.world.admin)).status == 200

    async def test_a_plan_longer_than_the_gateway_allows_is_refused(self, rig: Rig) -> None:
        await set_policy(rig, max_duration_s=3600)
        answer = await change_plan(rig, duration_s=3601)
        assert (answer.status, answer.code) == (400, "duration_too_long")
        link = await rig.ticket()  # prepared before, for four hours
        assert link
        shown = await rig.world.state(rig.session)
        assert shown["not_after_ms"] - shown["started_ms"] == 3600_000

    async def test_outside_the_plants_window_nothing_starts(self, rig: Rig) -> None:
        await set_policy(rig, windows=[{"days": ["monday"], "begin": "00:00", "end": "00:01"}])
        assert (await press_start(rig)).code == "no_maintenance"

    async def test_a_time_zone_that_does_not_exist_is_refused(self, rig: Rig) -> None:
        path = f"/gateways/{rig.gateway.endpoint}/policy"
        wrong = POLICY | {"time_zone": "Mars/Olympus"}
        answer = await rig.world.admin("PUT", path, wrong, headers={"If-Match": '"1"'})
        assert (answer.status, answer.code) == (400, "unknown_time_zone")

    async def test_two_administrators_do_not_overwrite_each_other(self, rig: Rig) -> None:
        path = f"/gateways/{rig.gateway.endpoint}/policy"
        answer = await rig.world.admin("PUT", path, POLICY)
        assert (answer.status, answer.code) == (428, "revision_missing")
        await set_policy(rig)
        answer = await rig.world.admin("PUT", path, POLICY, headers={"If-Match": '"1"'})
        assert (answer.status, answer.code) == (412, "changed_meanwhile")
        stale = await rig.world.admin(
            "PUT",
            f"/sessions/{rig.session}",
            {
                "name": "x",
                "targets": [{"device": "dev_" + "a" * 16, "protocol": "tcp"}],
                "users": [],
                "duration_s": 60,
            },
            headers={"If-Match": '"99"'},
        )
        assert (stale.status, stale.code) == (412, "changed_meanwhile")


class TestRepeats:
    """A creating request that comes twice under one key is done once."""

    KEY = {"Idempotency-Key": "0d5fb1e4-5e5c-4b0e-a9c6-000000000001"}  # noqa: RUF012

    async def test_the_second_gets_the_firsts_answer_with_its_secret(self, world: World) -> None:
        body = {"name": "press 9"}
        first = await world.admin("POST", "/gateways", body, headers=self.KEY)
        second = await world.admin("POST", "/gateways", body, headers=self.KEY)
        assert (first.status, first.body) == (second.status, second.body)
        assert len((await world.admin.ok("GET", "/gateways"))["gateways"]) == 1
        assert (await world.actions()).count("gateway_created") == 1
        raw = (world.directory / "controld.db-wal").read_bytes()
        assert first.body["enrolment_code"].encode() not in raw

    async def test_a_key_is_good_for_one_request_of_one_user(self, world: World) -> None:
        await world.admin("POST", "/gateways", {"name": "press 9"}, headers=self.KEY)
        other = await world.admin("POST", "/gateways", {"name": "press 8"}, headers=self.KEY)
        assert (other.status, other.code) == (409, "idempotency_key_reused")
        _, boss = await world.admin.new_user("boss", "administrator")
        answer = await boss("POST", "/gateways", {"name": "press 8"}, headers=self.KEY)
        assert answer.status == 201

    async def test_a_guessable_key_is_refused(self, world: World) -> None:
        short = {"Idempotency-Key": "1"}
        answer = await world.admin("POST", "/gateways", {"name": "x"}, headers=short)
        assert (answer.status, answer.code) == (400, "bad_request")
