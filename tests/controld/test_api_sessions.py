from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.controld.world import Rig, World


class TestSessions:
    """Preparing, seeing, starting, ending."""

    async def test_the_link_names_host_port_session_and_ticket(self, rig: Rig) -> None:
        started = await rig.technician.ok("POST", f"/sessions/{rig.session}/start")
        port = rig.world.server.endpoint.port
        prefix = f"remoteconnect://localhost:{port}/connect?session={rig.session}&ticket="
        assert started["link"].startswith(prefix)

    async def test_a_gateway_without_a_link_refuses_the_start(self, world: World) -> None:
        gateway = await world.gateway()
        session = await world.session(gateway)
        answer = await world.admin("POST", f"/sessions/{session}/start")
        assert (answer.status, answer.code) == (409, "gateway_offline")
        assert "session_start_refused" in await world.actions()

    async def test_users_neither_see_nor_start_what_is_not_released_for_them(
        self, rig: Rig
    ) -> None:
        _, otto = await rig.world.admin.new_user("otto", "rc_user")
        assert (await otto("POST", f"/sessions/{rig.session}/start")).status == 404
        assert (await otto("GET", f"/sessions/{rig.session}")).status == 404
        assert (await otto.ok("GET", "/sessions"))["sessions"] == []
        (seen,) = (await rig.technician.ok("GET", "/sessions"))["sessions"]
        assert seen["id"] == rig.session

    async def test_a_user_ends_their_own_session_and_no_other(self, rig: Rig) -> None:
        await rig.world.admin.ok("POST", f"/sessions/{rig.session}/start")
        answer = await rig.technician("POST", f"/sessions/{rig.session}/end")
        assert (answer.status, answer.code) == (403, "not_yours")
        rig.world.clock.advance(61)
        await rig.world.server.sweeper.sweep()
        await rig.ticket()
        await rig.technician.ok("POST", f"/sessions/{rig.session}/end")
        shown = await rig.world.state(rig.session)
        assert (shown["state"], shown["end_reason"]) == ("ended", "technician")
        answer = await rig.technician("POST", f"/sessions/{rig.session}/start")
        assert (answer.status, answer.code) == (409, "session_over")

    async def test_a_target_has_to_be_a_service_of_the_device(self, world: World) -> None:
        gateway = await world.gateway()
        device = await world.device(gateway)
        body = {
            "name": "x",
            "gateway": gateway.endpoint,
            "targets": [{"device": device, "protocol": "tcp", "port": 22}],
        }
        answer = await world.admin("POST", "/sessions", body)
        assert (answer.status, answer.code) == (400, "service_not_offered")

    async def test_a_window_bounds_start_and_end(self, rig: Rig) -> None:
        now = rig.world.clock()
        users = (await rig.world.state(rig.session))["users"]
        rig.session = await rig.world.session(
            rig.gateway,
            *users,
            window_from_ms=now + 60_000,
            window_until_ms=now + 120_000,
        )
        answer = await rig.technician("POST", f"/sessions/{rig.session}/start")
        assert (answer.status, answer.code) == (409, "window_not_open")
        rig.world.clock.advance(61)
        offer, _ = await rig.granted()
        assert offer.not_after_ms == now + 120_000
