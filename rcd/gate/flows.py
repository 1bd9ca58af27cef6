"""The flow record: what passed between a session and each device, and what was refused. Pure.

The packet filter counts; here its readings become totals that live on when it forgets, with the
time of the first and the last packet as exactly as readings follow each other. Packets are the
kernel's: where a network card has merged segments (GRO), a merged one is one packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rcd.gate.confinement import REFUSED_SETS, counted_element
from rclib.tunnel.gate_nft import Count
from rclib.wire.gate import MAX_REFUSED, DeviceFlow, Flows, RefusedFlow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rclib.tunnel.gate_plan import TunnelPlan
    from rclib.wire.ids import SessionId
    from rclib.wire.session import IPAddress

    Counts = Mapping[str, Mapping[str, Count]]
    """By set and element, as `rclib.tunnel.gate_nft.TableState` has them."""

KEPT: Final = 64
"""Sessions whose totals can still be asked for after their end."""
MAX_DESTINATIONS: Final = 1024
"""Of refused packets, for each session; further ones are counted without being named."""

_NOTHING: Final = Count(0, 0)


@dataclass(slots=True)
class _Tally:
    """A counter of the kernel, and what it said before it began anew."""

    packets: int = 0
    bytes: int = 0
    _seen: Count = _NOTHING

    def note(self, count: Count) -> bool:
        """Add what is new since the last reading; False: nothing."""
        restarted = count.packets < self._seen.packets
        before = _NOTHING if restarted else self._seen
        self.packets += count.packets - before.packets
        self.bytes += count.bytes - before.bytes
        self._seen = count
        return count.packets != before.packets


@dataclass(slots=True)
class _Device:
    to: _Tally = field(default_factory=_Tally)
    from_: _Tally = field(default_factory=_Tally)
    first_at: float | None = None
    last_at: float | None = None

    def note(self, to: Count, from_: Count, now: float) -> None:
        news = (self.to.note(to), self.from_.note(from_))
        if any(news):
            self.first_at = now if self.first_at is None else self.first_at
            self.last_at = now


@dataclass(frozen=True, slots=True)
class _Session:
    plan: TunnelPlan
    devices: dict[IPAddress, _Device]
    refusals: _Tally = field(default_factory=_Tally)
    refused: dict[str, _Tally] = field(default_factory=dict)
    """By destination, as the packet filter names it."""


class FlowBook:
    """Totals of the open sessions, and of those that ended last."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, _Session] = {}

    def opened(self, plan: TunnelPlan) -> None:
        """Begin with nothing; the oldest of too many is forgotten."""
        devices = {device: _Device() for device in plan.targets}
        self._sessions.pop(plan.session, None)
        self._sessions[plan.session] = _Session(plan, devices)
        for session in tuple(self._sessions)[:-KEPT]:
            del self._sessions[session]

    def note(self, plans: Iterable[TunnelPlan], counts: Counts, now: float) -> None:
        """Take a reading of open sessions, whose counters are the kernel's."""
        refused = _refused_by_interface(counts)
        for plan in plans:
            session = self._sessions.get(plan.session)
            if session is None:
                continue
            for address, device in session.devices.items():
                element = counted_element(plan.interface, address)
                to, from_ = (
                    counts.get(f"{way}{address.version}", {}).get(element, _NOTHING)
                    for way in ("to_device", "from_device")
                )
                device.note(to, from_, now)
            session.refusals.note(counts.get("refusals", {}).get(plan.interface, _NOTHING))
            for destination, count in refused.get(plan.interface, {}).items():
                if destination in session.refused or len(session.refused) < MAX_DESTINATIONS:
                    session.refused.setdefault(destination, _Tally()).note(count)

    def flows(self, session: SessionId, now: float) -> Flows:
        """Return the totals; KeyError for a session that was never open, or long ago."""
        found = self._sessions[session]
        return Flows(
            session,
            tuple(_device(address, each, now) for address, each in found.devices.items()),
            found.refusals.packets,
            _most_refused(found.refused),
        )


def _refused_by_interface(counts: Counts) -> dict[str, dict[str, Count]]:
    found: dict[str, dict[str, Count]] = {}
    for name in REFUSED_SETS:
        for element, count in counts.get(name, {}).items():
            interface, _, destination = element.partition(" . ")
            found.setdefault(interface, {})[destination] = count
    return found


def _device(address: IPAddress, device: _Device, now: float) -> DeviceFlow:
    return DeviceFlow(
        str(address),
        device.to.packets,
        device.to.bytes,
        device.from_.packets,
        device.from_.bytes,
        None if device.first_at is None else now - device.first_at,
        None if device.last_at is None else now - device.last_at,
    )


def _most_refused(refused: Mapping[str, _Tally]) -> tuple[RefusedFlow, ...]:
    most = sorted(refused.items(), key=lambda each: -each[1].packets)[:MAX_REFUSED]
    return tuple(_refused(destination, tally.packets) for destination, tally in most)


def _refused(destination: str, packets: int) -> RefusedFlow:
    address, protocol, *port = destination.split(" . ")
    return RefusedFlow(address, int(protocol), int(port[0]) if port else None, packets)
