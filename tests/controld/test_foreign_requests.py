"""T24 for the API: what another site's page could send is refused before anything happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from tests.controld.world import World


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "https://localhost"])
async def test_t24_a_foreign_origin_is_refused_and_nothing_changes(
    world: World, origin: str
) -> None:
    answer = await world.admin("POST", "/gateways", {"name": "x"}, headers={"Origin": origin})
    assert (answer.status, answer.code) == (403, "origin_refused")
    assert (await world.admin.ok("GET", "/gateways"))["gateways"] == []


async def test_t24_ones_own_origin_is_no_foreign_one(world: World) -> None:
    own = world.admin.base
    assert (await world.admin("GET", "/gateways", headers={"Origin": own})).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", ""])
async def test_t24_a_foreign_host_is_refused_and_nothing_changes(world: World, host: str) -> None:
    answer = await world.admin("POST", "/gateways", {"name": "x"}, headers={"Host": host})
    assert (answer.status, answer.code) == (403, "host_refused")
    assert (await world.admin.ok("GET", "/gateways"))["gateways"] == []


@pytest.mark.parametrize("headers", [{"Origin": "null"}, {"Host": "evil.example"}])
async def test_t24_no_link_is_upgraded_for_a_browser(world: World, headers: dict[str, str]) -> None:
    url = f"{world.anyone.base}/api/v1/link"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await world.anyone.http.ws_connect(url, headers=headers)
    assert refused.value.status == 403


async def test_t24_a_cookie_signs_nobody_in_to_the_api(world: World) -> None:
    jar = {"session": world.admin.token, "__Host-session": world.admin.token}
    answer = await world.anyone("POST", "/gateways", {"name": "x"}, cookies=jar)
    assert answer.status == 401


async def test_a_request_with_too_many_headers_is_refused(world: World) -> None:
    many = {f"X-{number}": "x" for number in range(70)}
    answer = await world.admin("GET", "/gateways", headers=many)
    assert (answer.status, answer.code) == (431, "request_header_fields_too_large")
