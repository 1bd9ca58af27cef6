"""The record on its pages: newest first, its chain, files to keep; traffic as bars."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from controld import api_proofs, store_audit, store_users
from controld.api_flows import FlowView
from controld.portal.charts import FULL, LEAST, MAX_LABEL, bars_of
from controld.records import Entry
from controld.schema.record import audit
from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.control import AuditBatch
from tests.controld.callers import ADMIN_PASSWORD

if TYPE_CHECKING:
    import pytest

    from controld.store import Tx
    from rclib.wire.ids import OrganisationId
    from tests.controld.portal.conftest import Visitor
    from tests.controld.world import Rig, World

TRAFFIC = {
    "device": "PLC <7>",
    "address": "192.168.1.10",
    "to_bytes": "1000",
    "from_bytes": "2000",
    "last": "2026-11-25T14:00:00Z",
    "final": "no",
}


async def talked(rig: Rig, *rows: dict[str, str]) -> None:
    await rig.gateway.say(
        AuditBatch(
            tuple(
                AuditEvent(n, n, AuditAction.FLOW_RECORDED, rig.session, "tina", TRAFFIC | row)
                for n, row in enumerate(rows, 1)
            )
        )
    )
    await rig.world.recorded("flow_recorded")


async def organisation(world: World) -> OrganisationId:
    def work(tx: Tx) -> OrganisationId:
        admin = store_users.find_user_by_name(tx, "admin")
        assert admin is not None
        return admin.organisation

    return await world.server.services.store.read(work)


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r'<tr><td class="soft">(\d+)</td>', text)]


class TestList:
    async def test_the_newest_come_first_and_lead_to_the_older_ones(
        self, world: World, admin: Visitor
    ) -> None:
        entry = Entry(action=AuditAction.LINK_OPENED, organisation=await organisation(world))
        await world.server.services.store.write(
            lambda tx: store_audit.append_all(tx, [(entry, 1)] * 110)
        )
        text = await admin.get("/record")
        first = numbers(text)
        assert first == sorted(first, reverse=True)
        assert len(first) == 100
        assert "Newest" not in text
        found = re.search(r'href="(/record\?before=\d+)"', text)
        assert found is not None
        text = await admin.get(found[1])
        second = numbers(text)
        assert second[0] == first[-1] - 1
        assert "Newest" in text
        assert "before=" not in text

    async def test_it_says_what_happened_in_words(self, admin: Visitor) -> None:
        text = await admin.get("/record")
        assert "Logged in" in text
        assert "login_succeeded" in text


class TestChain:
    async def test_a_whole_record_is_said_to_be_whole(self, admin: Visitor) -> None:
        text = await admin.post("/record")
        assert re.search(r"Whole: \d+ rows as they were written", text)

    async def test_a_changed_row_is_named(
        self, world: World, admin: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api_proofs, "PORTION", 2)  # the walk goes on over portions

        def forge(tx: Tx) -> None:
            tx.exec_driver_sql("DROP TRIGGER audit_no_update")  # which a thief would drop, too
            tx.execute(update(audit).where(audit.c.seq == 3).values(actor_name="somebody else"))

        await world.server.services.store.write(forge)
        text = await admin.post("/record")
        assert "Not whole, from row 3 on" in text
        assert "row 3 was changed" in text

    async def test_one_at_a_time(self, world: World, admin: Visitor) -> None:
        async with world.server.services.verifying:
            assert "being checked" in await admin.post("/record")
            assert admin.status == 429


class TestFiles:
    async def test_csv_and_json_lines_have_every_row_with_its_hash(
        self, rig: Rig, admin: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api_proofs, "PORTION", 3)
        rows = list(csv.DictReader(io.StringIO(await admin.get("/record/export?format=csv"))))
        assert admin.headers["Content-Disposition"] == 'attachment; filename="record.csv"'
        assert [int(row["seq"]) for row in rows] == list(range(1, len(rows) + 1))
        text = await admin.get("/record/export?format=jsonl&from=2020-01-01&until=2099-01-01")
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["hash"] for line in lines[: len(rows)]] == [row["hash"] for row in rows]
        assert "session_prepared" in text
        assert await admin.get("/record/export?format=jsonl&until=2020-01-01") == ""
        for query in ("format=pdf", "from=yesterday"):
            await admin.get(f"/record/export?{query}")
            assert admin.status == 400
        assert rig.session

    async def test_the_report_of_a_session_is_a_file(self, rig: Rig, admin: Visitor) -> None:
        page = f"/sessions/{rig.session}"
        assert f'href="{page}/report"' in await admin.get(page)
        text = await admin.get(f"{page}/report")
        assert admin.headers["Content-Disposition"] == (
            f'attachment; filename="{rig.session}.html"'
        )
        assert "Everything on record" in text
        assert "session_prepared" in text

    async def test_who_takes_the_record_away_is_on_record(self, admin: Visitor) -> None:
        query = "format=csv&from=2020-01-01"
        rows = list(csv.DictReader(io.StringIO(await admin.get(f"/record/export?{query}"))))
        assert rows[-1]["action"] == "record_exported", "before the first byte left"
        assert rows[-1]["actor_name"] == "admin"
        assert json.loads(rows[-1]["detail"])["format"] == "csv"
        assert "Record downloaded" in await admin.get("/record")

    async def test_they_are_for_those_who_may_read_the_record(
        self, rig: Rig, visitor: Visitor
    ) -> None:
        await visitor.login("tina", ADMIN_PASSWORD)
        text = await visitor.get(f"/sessions/{rig.session}")
        assert "session_prepared" not in text
        assert "/report" not in text
        for path in ("/record/export", f"/sessions/{rig.session}/report"):
            await visitor.get(path)
            assert visitor.status == 403, path


class TestTraffic:
    async def test_a_session_and_its_gateway_show_the_newest_totals(
        self, rig: Rig, admin: Visitor
    ) -> None:
        await talked(rig, {}, {"to_bytes": "52000"}, {"address": "192.168.1.11", "device": ""})
        for page in (f"/sessions/{rig.session}", f"/gateways/{rig.gateway.endpoint}"):
            text = await admin.get(page)
            for shown in ("PLC &lt;7&gt;", "192.168.1.11", "52.0 kB", "2.0 kB", "<svg", "<desc"):
                assert shown in text, page
            assert text.count("52.0 kB") == 2, "once as a bar, once in the table"
            assert "2026-11-25" in text

    async def test_without_traffic_it_says_when_there_will_be_some(
        self, rig: Rig, admin: Visitor
    ) -> None:
        assert "every five minutes" in await admin.get(f"/sessions/{rig.session}")

    def test_bars_are_as_wide_as_what_passed(self) -> None:
        flow = FlowView("s", "a name that is far too long for any phone", "10.0.0.1", 1000, 1, None)
        (bar,) = bars_of([flow])
        assert (bar.to_width, bar.from_width) == (FULL, LEAST)
        assert len(bar.label) == MAX_LABEL
        (both,) = bars_of([flow, flow])
        assert (both.to_bytes, both.last_ms) == (2000, None)

    def test_nothing_has_no_width(self) -> None:
        (bar,) = bars_of([FlowView("s", "", "10.0.0.1", 0, 0, None)])
        assert (bar.to_width, bar.from_width, bar.label) == (0.0, 0.0, "10.0.0.1")


class TestLive:
    async def test_a_page_hears_what_changes_with_its_cookie(
        self, rig: Rig, admin: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("controld.api_events.LOOK_S", 0.02)
        async with admin.http.get(f"{admin.url}/events") as response:
            assert response.content_type == "text/event-stream"
            await rig.world.admin.ok("POST", f"/sessions/{rig.session}/start")
            heard: list[Any] = []
            while rig.session not in "".join(heard):
                heard.append((await response.content.readline()).decode())
