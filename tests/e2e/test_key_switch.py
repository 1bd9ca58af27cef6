"""The key switch in the cabinet: turned to OFF it closes everything, whatever the page says."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from testbed.api_client import ApiError
from testbed.waiting import until
from tests.e2e.conftest import staged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.story import Story

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

CLOSED_S = 2.0


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Story, Path, Path]]:
    wires = tmp_path_factory.mktemp("wires")
    key, lamp = wires / "key", wires / "lamp"
    key.write_text("0")
    with staged() as told:
        told.commission(rcd=f'[key_switch]\nfile = "{key}"\n[lamp]\nfile = "{lamp}"\n')
        yield told, key, lamp


def test_the_key_closes_within_two_seconds_and_the_page_cannot_open(
    wired: tuple[Story, Path, Path],
) -> None:
    story, key, lamp = wired
    story.ams.get("/")
    story.ams.submit("/access", mode="on", hours="4")
    story.ams.get("/")
    assert "The key switch is OFF" in story.ams.text
    assert 'class="state off"' in story.ams.text
    story.prepare()
    with pytest.raises(ApiError) as refused:
        story.start()
    assert refused.value.code == "gateway_offline"

    key.write_text("1")
    story.turn_on()
    story.start()
    until(lambda: lamp.read_text() == "1\n", 5, "the lamp to be lit")
    gateway = story.bed.host("gateway")
    turned = open_at = time.monotonic()
    key.write_text("0")

    def is_closed() -> bool:
        nonlocal open_at
        looked = time.monotonic()
        links = json.loads(gateway.run(["ip", "--json", "link"], check=True).stdout)
        is_open = any(link["ifname"].startswith("rcg") for link in links)
        if is_open:
            open_at = looked
        return not is_open

    until(is_closed, 10, "the gateway to close")
    assert open_at - turned < CLOSED_S
    until(lambda: lamp.read_text() == "0\n", 5, "the lamp to go out")
    until(lambda: story.client.poll() is not None, 15, "the client to end")

    key.write_text("1")
    story.turn_on()
    assert story.session_state()["end_reason"] == "plant_off"
    turns = [
        row["detail"]["key_switch"]
        for row in story.audit_rows()
        if row["action"] == "key_switch_turned"
    ]
    assert turns[:2] == ["on", "off"]
    story.turn_off()
