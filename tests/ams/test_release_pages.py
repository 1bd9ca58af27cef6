"""Somebody waits for the plant's release, as a browser sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rclib.wire.check_phrase import check_phrase
from rclib.wire.ids import ClientId, DeviceId, IdentityKey
from rclib.wire.local import Refuse, Release, WaitingRelease
from rclib.wire.session import Protocol, Target
from tests.ams.conftest import SESSION, on

if TYPE_CHECKING:
    from tests.ams.conftest import StandInRcd, Visitor

GATEWAY, TECHNICIAN = IdentityKey(bytes(range(32))), IdentityKey(bytes(range(32, 64)))


def waiting(**changes: object) -> WaitingRelease:
    target = Target(DeviceId("dev_" + "a" * 16), "PLC", "192.168.1.10", Protocol.TCP, 502)
    values: dict[str, object] = {
        "session": SESSION,
        "name": "Line 3",
        "user": "tina",
        "organisation": "Builder",
        "client": ClientId("cli_" + "a" * 16),
        "identity_key": TECHNICIAN,
        "is_known": False,
        "source": "198.51.100.7",
        "reason": "fault 17",
        "reference": "T-4711",
        "targets": (target,),
        "since_ms": 1_700_000_000_000,
        "duration_s": 4 * 3600,
        "remaining_s": 300,
    }
    return WaitingRelease(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
async def asked(running_rcd: StandInRcd, visitor: Visitor) -> StandInRcd:
    running_rcd.status = on(waiting=(waiting(),), identity_key=GATEWAY)
    await visitor.enter()
    return running_rcd


async def test_everything_there_is_to_decide_about_is_on_one_page(
    asked: StandInRcd, visitor: Visitor
) -> None:
    assert "Somebody waits for a release" in await visitor.get()
    text = await visitor.get(f"/release/{SESSION}")
    for shown in ("tina", "Builder", "fault 17", "T-4711", "192.168.1.10", "198.51.100.7", "4 h"):
        assert shown in text
    assert "here for the first time" in text
    assert " ".join(check_phrase(TECHNICIAN, GATEWAY)) in text


@pytest.mark.parametrize(("hours", "duration_s"), [("", None), ("1", 3600)])
async def test_a_release_reaches_rcd_for_as_long_as_the_plant_wants(
    asked: StandInRcd, visitor: Visitor, hours: str, duration_s: int | None
) -> None:
    text = await visitor.post("/release", session=SESSION, hours=hours)
    assert "Released." in text
    (wanted,) = asked.of(Release)
    assert isinstance(wanted, Release)
    assert (wanted.session, wanted.duration_s) == (SESSION, duration_s)
    assert "127.0.0.1" in wanted.by


async def test_a_refusal_reaches_rcd(asked: StandInRcd, visitor: Visitor) -> None:
    assert "Refused." in await visitor.post("/refuse", session=SESSION)
    assert len(asked.of(Refuse)) == 1


async def test_looking_releases_nothing(asked: StandInRcd, visitor: Visitor) -> None:
    for path in ("/", f"/release/{SESSION}", "/release", "/refuse"):
        await visitor.get(path)
    assert asked.of(Release) + asked.of(Refuse) == []


@pytest.mark.parametrize("hours", ["99", "-1", "x"])
async def test_nonsense_releases_nothing(asked: StandInRcd, visitor: Visitor, hours: str) -> None:
    await visitor.post("/release", session=SESSION, hours=hours)
    assert visitor.status == 400
    await visitor.post("/release", session="rubbish")
    assert visitor.status == 400
    assert asked.of(Release) == []


async def test_one_that_has_gone_meanwhile_is_said_to_be_gone(
    asked: StandInRcd, visitor: Visitor
) -> None:
    asked.status = on(identity_key=GATEWAY)
    assert "Nobody waits here any more" in await visitor.get(f"/release/{SESSION}")


async def test_a_confirmation_that_changes_nothing_is_no_release(
    asked: StandInRcd, visitor: Visitor
) -> None:
    asked.is_deaf = True
    assert "not what was asked for" in await visitor.post("/release", session=SESSION)
