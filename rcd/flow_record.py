"""What of the gate's flow record goes on the gateway's: a pure core.

Each device a session talked to has a row every RECORD_S while its totals move, and a last one at
the end. Refused packets are told at once, then at most every REFUSED_S, however many there are.
All rows carry totals since the session began, so that the last one says it all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rcd.commands import Record
from rclib.wire.audit import MAX_DETAIL, AuditAction
from rclib.wire.gate import Flows

if TYPE_CHECKING:
    from rclib.wire.control import SessionOffer
    from rclib.wire.gate import DeviceFlow, RefusedFlow
    from rclib.wire.ids import SessionId
    from rclib.wire.session import IpText

RECORD_S: Final = 300.0
REFUSED_S: Final = 60.0

_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


@dataclass(slots=True)
class _Session:
    user: str
    names: dict[IpText, str]
    recorded_at: float
    flows: Flows
    refused_at: float | None = None
    refused_packets: int = 0
    """On record already."""
    totals: dict[IpText, tuple[int, ...]] = field(default_factory=dict)
    """On record already."""


class FlowRecord:
    """The flow record of the open sessions. `now` is the boot clock's, `now_ms` the wall's."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, _Session] = {}

    def begun(self, offer: SessionOffer, now: float) -> None:
        names = {target.address: target.name for target in offer.targets}
        self._sessions[offer.session] = _Session(
            offer.technician.user, names, now, Flows(offer.session)
        )

    def flows(self, session: SessionId) -> Flows:
        """Return the newest reading, for people."""
        found = self._sessions.get(session)
        return found.flows if found is not None else Flows(session)

    def counted(self, flows: Flows, now: float, now_ms: int) -> list[Record]:
        """Take a reading of an open session."""
        session = self._sessions.get(flows.session)
        if session is None:
            return []
        session.flows = flows
        commands: list[Record] = []
        if now - session.recorded_at >= RECORD_S:
            session.recorded_at = now
            commands += _devices(session, now_ms, is_final=False)
        if session.refused_at is None or now - session.refused_at >= REFUSED_S:
            refused = _refused(session)
            session.refused_at = now if refused else session.refused_at
            commands += refused
        return commands

    def ended(self, session: SessionId, flows: Flows | None, now_ms: int) -> list[Record]:
        """Put the rest on record; without a final reading, what the last one said."""
        found = self._sessions.pop(session, None)
        if found is None:
            return []
        found.flows = flows if flows is not None else found.flows
        return [*_devices(found, now_ms, is_final=True), *_refused(found)]


def _devices(session: _Session, now_ms: int, *, is_final: bool) -> list[Record]:
    rows = []
    for device in session.flows.devices:
        totals = (device.to_packets, device.to_bytes, device.from_packets, device.from_bytes)
        moved = totals != session.totals.get(device.address)
        if any(totals) and (moved or is_final):
            session.totals[device.address] = totals
            rows.append(_row(session, device, now_ms, is_final=is_final))
    return rows


def _row(session: _Session, device: DeviceFlow, now_ms: int, *, is_final: bool) -> Record:
    detail = {
        "device": session.names.get(device.address, ""),
        "address": device.address,
        "to_packets": str(device.to_packets),
        "to_bytes": str(device.to_bytes),
        "from_packets": str(device.from_packets),
        "from_bytes": str(device.from_bytes),
        "first": _time(now_ms, device.first_age_s),
        "last": _time(now_ms, device.last_age_s),
        "final": "yes" if is_final else "no",
    }
    return Record(AuditAction.FLOW_RECORDED, session.flows.session, session.user, detail)


def _refused(session: _Session) -> list[Record]:
    flows = session.flows
    if flows.refused_packets <= session.refused_packets:
        return []
    session.refused_packets = flows.refused_packets
    detail = {
        "packets": str(flows.refused_packets),
        "destinations": _spelt(flows.refused),
    }
    return [Record(AuditAction.PACKETS_REFUSED, flows.session, session.user, detail)]


def _spelt(refused: tuple[RefusedFlow, ...]) -> str:
    text = ""
    for each in refused:
        protocol = _PROTOCOLS.get(each.protocol, f"protocol {each.protocol}")
        port = "" if each.port is None else f"/{each.port}"
        item = f"{each.packets} to {each.address} {protocol}{port}"
        longer = f"{text}, {item}" if text else item
        if len(longer) > MAX_DETAIL - 2:
            return f"{text} …"
        text = longer
    return text


def _time(now_ms: int, age_s: float | None) -> str:
    if age_s is None:
        return ""
    at = datetime.fromtimestamp(now_ms / 1000 - age_s, UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
