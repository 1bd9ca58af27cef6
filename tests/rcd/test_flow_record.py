"""What of the flow record goes on the gateway's record, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from rcd.flow_record import RECORD_S, REFUSED_S, FlowRecord
from rclib.wire.audit import MAX_DETAIL, AuditAction
from rclib.wire.gate import DeviceFlow, Flows, RefusedFlow
from tests.rcd.test_sessions import offer, session_id

if TYPE_CHECKING:
    from rcd.commands import Record

SESSION = session_id()
NOW_MS = 1_700_000_000_000
PLC = "192.168.1.10"


def flows(packets: int, refused: tuple[RefusedFlow, ...] = ()) -> Flows:
    device = DeviceFlow(PLC, packets, packets * 50, packets, packets * 60, 61.0, 1.0)
    idle = DeviceFlow("192.168.1.20", 0, 0, 0, 0)
    return Flows(SESSION, (device, idle), sum(each.packets for each in refused), refused)


def knocks(packets: int, *more: RefusedFlow) -> tuple[RefusedFlow, ...]:
    return (RefusedFlow("192.168.1.30", 6, 22, packets), *more)


def begun() -> FlowRecord:
    record = FlowRecord()
    record.begun(offer(), 0.0)
    return record


def actions(rows: list[Record]) -> list[AuditAction]:
    return [row.action for row in rows]


def test_the_last_row_of_a_device_says_it_all() -> None:
    record = begun()
    assert not record.counted(flows(3), 1.0, NOW_MS)
    (row,) = record.ended(SESSION, flows(5), NOW_MS)
    assert (row.action, row.session, row.actor) == (AuditAction.FLOW_RECORDED, SESSION, "tina")
    assert row.detail == {
        "device": "PLC",
        "address": PLC,
        "to_packets": "5",
        "to_bytes": "250",
        "from_packets": "5",
        "from_bytes": "300",
        "first": "2023-11-14T22:12:19Z",
        "last": "2023-11-14T22:13:19Z",
        "final": "yes",
    }


def test_a_device_that_moves_has_a_row_every_five_minutes_and_one_that_rests_has_none() -> None:
    record = begun()
    assert not record.counted(flows(3), RECORD_S - 1, NOW_MS)
    (row,) = record.counted(flows(4), RECORD_S, NOW_MS)
    assert (row.detail["to_packets"], row.detail["final"]) == ("4", "no")
    assert not record.counted(flows(4), 2 * RECORD_S, NOW_MS)
    assert actions(record.counted(flows(5), 3 * RECORD_S, NOW_MS)) == [AuditAction.FLOW_RECORDED]
    assert len(record.ended(SESSION, flows(5), NOW_MS)) == 1, "also if nothing moved since"


def test_without_a_final_reading_the_last_one_stands() -> None:
    record = begun()
    record.counted(flows(3), 1.0, NOW_MS)
    (row,) = record.ended(SESSION, None, NOW_MS)
    assert row.detail["to_packets"] == "3"


def test_refused_packets_are_told_at_once_and_then_once_a_minute() -> None:
    record = begun()
    (row,) = record.counted(flows(0, knocks(2)), 1.0, NOW_MS)
    assert row.action is AuditAction.PACKETS_REFUSED
    assert row.detail == {"packets": "2", "destinations": "2 to 192.168.1.30 tcp/22"}
    assert not record.counted(flows(0, knocks(9)), REFUSED_S, NOW_MS)
    later = record.counted(flows(0, knocks(9)), 1.0 + REFUSED_S, NOW_MS)
    assert [row.detail["packets"] for row in later] == ["9"]
    assert not record.counted(flows(0, knocks(9)), 9 * REFUSED_S, NOW_MS), "no news, no row"
    (last,) = record.ended(SESSION, flows(0, knocks(10)), NOW_MS)
    assert last.detail["packets"] == "10"


@given(st.integers(0, 40))
def test_the_destinations_fit_the_record(count: int) -> None:
    more = tuple(RefusedFlow(f"fd00::{n:x}", n, None, 2**40) for n in range(count))
    (row,) = begun().counted(flows(0, knocks(1, *more)), 1.0, NOW_MS)
    assert len(row.detail["destinations"]) <= MAX_DETAIL
    assert row.detail["destinations"].endswith("…") or count < 20


def test_what_is_not_open_leaves_no_row() -> None:
    record = begun()
    record.ended(SESSION, None, NOW_MS)
    assert not record.counted(flows(3), 1.0, NOW_MS)
    assert not record.ended(SESSION, flows(3), NOW_MS)
    assert record.flows(SESSION) == Flows(SESSION)
