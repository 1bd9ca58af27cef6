"""The page on which a session is prepared and changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.controld.test_session_releases import set_policy

if TYPE_CHECKING:
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import Rig

TAG = re.compile(r"<(?:input|option|select)\b[^>]*>")


def address_of(rig: Rig) -> str:
    return f"/gateways/{rig.gateway.endpoint}/sessions/{rig.session}/change"


def form_of(text: str) -> list[tuple[str, str]]:
    """What a browser would send if nobody touched anything."""
    fields: list[tuple[str, str]] = []
    select = ""
    for tag in TAG.findall(text):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if tag.startswith("<select"):
            select = attributes["name"]
        elif tag.startswith("<option"):
            fields += [(select, attributes["value"])] if " selected" in tag else []
        elif attributes.get("type") != "checkbox" or " checked" in tag:
            fields.append((attributes["name"], attributes.get("value", "")))
    return [(name, value) for name, value in fields if name != "csrf"]


def changed(form: list[tuple[str, str]], **changes: str) -> list[tuple[str, str]]:
    return [(name, changes.get(name, value)) for name, value in form]


async def test_saving_it_untouched_changes_nothing(rig: Rig, admin: Visitor) -> None:
    """Not even what no box stands for, odd durations or seconds of a window."""
    world, device = rig.world, (await rig.world.state(rig.session))["targets"][0]["device"]
    path = f"/gateways/{rig.gateway.endpoint}"
    services = [{"protocol": "tcp"}, {"protocol": "udp", "port": 9}]
    wide = {"name": "wide", "address": "192.168.10.9", "services": services}
    made = await world.admin.ok("POST", f"{path}/devices", wide)
    rig.session = await world.session(
        rig.gateway,
        targets=[
            {"device": device, "protocol": "tcp", "port": 502},
            {"device": made["id"], "protocol": "tcp", "port": 8080},
        ],
        duration_s=5400,
        reference="4711",
        window_until_ms=4_102_444_799_000,
    )
    await set_policy(rig, time_zone="Europe/Berlin")
    before = await world.state(rig.session)
    text = await admin.get(address_of(rig))
    assert "tcp/8080" in text
    assert "1 h 30 min" in text
    await admin.post(address_of(rig), form_of(text))
    assert admin.at == f"/sessions/{rig.session}"
    after = await world.state(rig.session)
    assert after.pop("revision") == before.pop("revision") + 1
    assert sorted(map(str, after.pop("targets"))) == sorted(map(str, before.pop("targets")))
    assert after == before


async def test_a_change_is_saved_and_shown(rig: Rig, admin: Visitor) -> None:
    assert address_of(rig) in await admin.get(f"/sessions/{rig.session}")
    form = form_of(await admin.get(address_of(rig)))
    wanted = changed(form, name="line 4", duration_s="28800", reference="SO-17")
    text = await admin.post(address_of(rig), wanted)
    for shown in ("line 4", "8 h", "SO-17"):
        assert shown in text


async def test_what_is_refused_is_shown_again_with_the_reason_beside_it(
    rig: Rig, admin: Visitor
) -> None:
    form = form_of(await admin.get(address_of(rig)))
    before = await rig.world.state(rig.session)
    for place, wanted, sentence in (
        ("window", changed(form, until="2001-01-01T10:00", reason="typed"), "over already"),
        ("window", changed(form, until="2099-01-01T10:00", zone="No/Where"), "does not exist"),
        ("name", changed(form, name="\x07"), "missing or does not fit"),
        ("duration_s", changed(form, duration_s="1"), "missing or does not fit"),
        ("targets", [each for each in form if each[0] != "target"], "at least one machine"),
    ):
        text = await admin.post(address_of(rig), wanted)
        assert admin.status == 400, place
        assert "Not saved" in text
        assert re.search(rf'id="wrong">[^<]*{sentence}', text), place
        sent = dict(wanted)
        for name in ("from", "until", "zone", "reason"):
            assert f'name="{name}"' in text
            assert sent[name] == "" or f'value="{sent[name]}"' in text
    assert await rig.world.state(rig.session) == before


async def test_two_who_change_it_at_once_do_not_undo_each_other(rig: Rig, admin: Visitor) -> None:
    form = form_of(await admin.get(address_of(rig)))
    await admin.post(address_of(rig), changed(form, name="first"))
    text = await admin.post(address_of(rig), changed(form, name="second"))
    assert admin.status == 412
    assert "Somebody changed this meanwhile" in text
    assert 'value="second"' in text
    assert (await rig.world.state(rig.session))["name"] == "first"


async def test_a_new_plan_that_is_refused_keeps_what_was_typed(rig: Rig, admin: Visitor) -> None:
    address = f"/prepare/{rig.gateway.endpoint}"
    form = form_of(await admin.get(address))
    text = await admin.post(address, changed(form, name="line 3", reason="fault 17"))
    assert admin.status == 400
    assert "at least one machine" in text
    assert 'value="line 3"' in text
    assert 'value="fault 17"' in text


async def test_the_gateway_of_the_address_has_to_be_the_sessions(rig: Rig, admin: Visitor) -> None:
    other = await rig.world.gateway("press 2")
    await admin.get(f"/gateways/{other.endpoint}/sessions/{rig.session}/change")
    assert admin.status == 404
