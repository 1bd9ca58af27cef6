"""A gateway's policy on its pages, and what else a gateway's page says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from rclib.wire.link import LinkWelcome
from tests.controld.callers import ADMIN_PASSWORD
from tests.controld.test_session_releases import set_policy

if TYPE_CHECKING:
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import Rig, World

FORM = {
    "release": "four_eyes",
    "reason": "required",
    "max_duration_s": "28800",
    "idle_timeout_s": "1800",
    "max_sessions": "2",
    "time_zone": "Europe/Berlin",
}
NIGHT = [("days-1", "monday"), ("days-1", "friday"), ("begin-1", "22:00"), ("end-1", "06:00")]


async def policy_of(rig: Rig) -> dict[str, Any]:
    shown: dict[str, Any] = await rig.world.admin.ok(
        "GET", f"/gateways/{rig.gateway.endpoint}/policy"
    )
    return shown


def page_of(rig: Rig) -> str:
    return f"/gateways/{rig.gateway.endpoint}"


async def send(rig: Rig, visitor: Visitor, *more: tuple[str, str], **changes: str) -> str:
    """Fill the form in as it is on the page now."""
    page = await visitor.get(f"{page_of(rig)}/policy")
    found = re.search(r'name="revision" value="(\d+)"', page)
    assert found is not None
    fields = {"revision": found[1]} | FORM | changes
    return await visitor.post(f"{page_of(rig)}/policy", [*fields.items(), *more])


async def test_it_is_changed_in_a_form_and_shown_on_the_gateways_page(
    rig: Rig, admin: Visitor
) -> None:
    text = await send(rig, admin, *NIGHT)
    assert admin.at == page_of(rig)
    for shown in (
        "Four eyes",
        "Required",
        "8 h",
        "30 min",
        "Mo, Fr 22:00\u201306:00",
        "Europe/Berlin",
    ):
        assert shown in text
    policy = await policy_of(rig)
    (window,) = policy["windows"]
    assert window["days"] == ["monday", "friday"]
    assert (window["begin"], window["end"]) == ("22:00", "06:00")
    assert policy["max_sessions"] == 2
    # The form shows what was saved, with empty rows behind it.
    text = await admin.get(f"{page_of(rig)}/policy")
    assert 'name="begin-0" value="22:00"' in text
    assert 'name="begin-2" value=""' in text


@pytest.mark.parametrize(
    ("changes", "more", "place"),
    [
        ({"time_zone": "Nowhere/Land"}, (), "time_zone"),
        ({"time_zone": "../../etc/passwd"}, (), "time_zone"),
        ({"max_sessions": "0"}, (), "max_sessions"),
        ({"release": "nobody"}, (), "release"),
        ({"max_duration_s": ""}, (), "max_duration_s"),
        ({}, (("begin-0", "22:00"), ("end-0", "06:00")), "begin-0"),
        ({}, (*NIGHT, ("days-7", "monday"), ("begin-7", "25:00"), ("end-7", "06:00")), "begin-1"),
    ],
)
async def test_what_makes_no_sense_is_shown_again_with_the_reason_beside_it(
    rig: Rig,
    admin: Visitor,
    changes: dict[str, str],
    more: tuple[tuple[str, str], ...],
    place: str,
) -> None:
    before = await policy_of(rig)
    text = await send(rig, admin, *more, **{"max_sessions": "9"} | changes)
    assert admin.status == 400
    assert 'role="alert"' in text
    assert await policy_of(rig) == before
    typed = FORM | {"max_sessions": "9"} | changes
    for field in ("max_sessions", "time_zone"):
        assert f'value="{typed[field]}"' in text
    assert 'value="required" checked' in text
    (field,) = [part for part in text.split("<fieldset") if 'id="wrong"' in part]
    assert f'name="{place}"' in field
    if more:
        assert f'value="{more[-2][1]}"' in field, "as it was typed"


async def test_two_who_change_it_at_once_do_not_undo_each_other(rig: Rig, admin: Visitor) -> None:
    stale = (await policy_of(rig))["revision"]
    await set_policy(rig, max_sessions=7)
    text = await send(rig, admin, revision=str(stale))
    assert "Somebody changed this meanwhile" in text
    assert 'value="four_eyes" checked' in text, "as it was typed"
    assert admin.status == 412
    assert (await policy_of(rig))["max_sessions"] == 7


async def test_a_remoteconnect_administrator_sees_it_and_cannot_change_it(
    world: World, rig: Rig, visitor: Visitor
) -> None:
    await world.admin.new_user("rita", "rc_administrator")
    await visitor.login("rita", ADMIN_PASSWORD)
    text = await visitor.get(f"{page_of(rig)}/policy")
    assert "<fieldset disabled" in text
    assert "Save" not in text
    await send(rig, visitor)
    assert visitor.status == 403


async def test_the_page_says_who_may_reach_it_and_what_was(rig: Rig, admin: Visitor) -> None:
    await rig.world.admin.ok("POST", "/users", {"name": "otto", "role": "rc_user"})
    text = await admin.get(page_of(rig))
    assert "otto" not in text, "no session names him"
    reach = text[text.index("Who may reach") : text.index("Past sessions")]
    assert reach.index("admin") < reach.index("tina")
    assert reach.count("check the valve") == 2
    await admin.post(f"/sessions/{rig.session}/end")
    text = await admin.get(page_of(rig))
    assert "tina" not in text[text.index("Who may reach") : text.index("Past sessions")]
    assert "check the valve" in text[text.index("Past sessions") :]


async def test_the_page_says_which_version_the_gateway_runs(rig: Rig, admin: Visitor) -> None:
    challenge = await rig.gateway.dial()
    await rig.gateway.hello(challenge.nonce, software="remoteconnect 1.2\u202e<3>")
    await rig.gateway.frame(LinkWelcome)
    assert "remoteconnect 1.2\\u{202e}&lt;3&gt;" in await admin.get(page_of(rig))


async def test_a_technician_who_wants_the_policy_is_refused(rig: Rig, visitor: Visitor) -> None:
    await visitor.login("tina", ADMIN_PASSWORD)
    await visitor.get(f"{page_of(rig)}/policy")
    assert visitor.status == 403
