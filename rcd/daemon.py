"""The gateway daemon around its pure core: carries out commands, feeds events, keeps the clock.

Tasks, one each: the gate's connection (with the renewal of the allow-set), the control link
(only while access is ON), the clock, and the steps of tunnels (`rcd.tunnels`). Everything else
happens in their callbacks, so that no two events are ever handled at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rcd.effects import Effects
from rcd.flow_record import FlowRecord
from rcd.gate_link import GateLink
from rcd.metrics import DropCollector, Metrics
from rcd.offers import Offers
from rcd.plant_link import PlantLink
from rcd.regions import RegionWatch
from rcd.releases import Releases
from rcd.sessions import Sessions
from rcd.statements import gateway_state
from rcd.tunnels import Tunnels
from rcd.wires import KeySwitch, Lamp
from rclib.runtime.clock import boottime, wall_ms
from rclib.tunnel.gate_client import GateRefused
from rclib.wire.access import AccessMode
from rclib.wire.audit import AuditAction
from rclib.wire.control import (
    AuditBatch,
    AuditHead,
    Body,
    LeaseRenewal,
    PathSignal,
    SessionEnd,
    SessionOffer,
)
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from rcd.access_store import AccessStore
    from rcd.commands import Command
    from rcd.config import RcdConfig
    from rcd.records import Records
    from rclib.runtime.context import Context
    from rclib.tunnel.enrolment import Enrolment, Identity
    from rclib.tunnel.gate_client import GateUnavailable
    from rclib.tunnel.pins import Pins
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.gate import Flows, Opened, TunnelCounters
    from rclib.wire.ids import SessionId, TunnelKey
    from rclib.wire.link import LinkWelcome
    from rclib.wire.session import PathStatus

REGIONS_MEASURED = "regions_measured"


class Daemon:
    """One gateway."""

    def __init__(
        self,
        config: RcdConfig,
        ctx: Context,
        *,
        identity: Identity,
        access: AccessStore,
        records: Records,
        pins: Pins,
        uplink: Uplink,
    ) -> None:
        # Fixed after construction.
        self._config = config
        self._ctx = ctx
        self.identity = identity
        self.access = access
        self._records = records
        self.gate = GateLink(config, ctx, self)
        self.link = PlantLink(ctx, self, identity=identity, uplink=uplink)
        self.tunnels = Tunnels(config, ctx, self, gate=self.gate, identity=identity, uplink=uplink)
        self.key_switch = KeySwitch(config.key_switch, ctx.log)
        self._regions = RegionWatch(uplink, self._regions_measured)
        self._lamp = Lamp(config.lamp, ctx.log)
        self._metrics = Metrics(ctx.metrics)
        DropCollector(self.tunnels.drops, ctx.metrics)
        # The state, changed in callbacks of the loop only.
        self.sessions = Sessions(
            max_sessions=config.max_sessions, technician_grace_s=config.technician_grace_s
        )
        self.flow_record = FlowRecord()
        self._effects = Effects(
            identity=identity,
            tunnels=self.tunnels,
            flow_record=self.flow_record,
            link=self.link,
            records=records,
            pins=pins,
        )
        self.releases = Releases(
            identity.public,
            required=config.release_required,
            wait_s=config.release_wait_s,
            max_waiting=config.max_sessions,
        )
        self._offers = Offers(self.sessions, self.releases, records, pins, lambda: self.is_on)
        self._clock_moved = asyncio.Event()

    # The switch.

    @property
    def is_on(self) -> bool:
        return self.access.is_on(boottime()) and self.key_switch.is_closed

    async def turn_on(self, duration_s: int | None, by: str) -> None:
        """Raises OSError if it cannot be kept; then it is as before."""
        self.access.turn_on(duration_s, by, boottime(), wall_ms())
        self._records.write(
            AuditAction.ACCESS_CHANGED,
            actor=by,
            detail={
                "access": self.access.state.mode.value,
                "duration_s": "" if duration_s is None else str(duration_s),
            },
        )
        self._sync_link()
        self._tell_state()

    async def turn_off(self, by: str, action: AuditAction = AuditAction.ACCESS_CHANGED) -> None:
        """Close everything, then the link. Raises OSError if a restart could undo it."""
        fault: OSError | None = None
        try:
            self.access.turn_off(by, wall_ms())
        except OSError as exc:
            fault = exc
        self._records.write(action, actor=by, detail={"access": AccessMode.OFF.value})
        await self.end(None, EndReason.PLANT_OFF, actor=by)
        await self._hang_up()
        if fault is not None:
            raise fault

    async def end(
        self, session: SessionId | None, reason: EndReason, *, actor: str = "", detail: str = ""
    ) -> None:
        """End one session or all, and wait until nothing is left of them."""
        if session is None:
            self._do(self.releases.closed(actor))
            self._do(self.sessions.end_all(reason, actor=actor, detail=detail))
        else:
            self._do(self.sessions.end(session, reason, actor=actor, detail=detail))
        await self.tunnels.closed(session)

    def release(self, session: SessionId, by: str, duration_s: int | None) -> bool:
        """Let a waiting technician in; False if nobody waits. Raises OSError: see `Offers`."""
        commands = self._offers.release(session, by, duration_s, boottime())
        self._do(commands or [])
        return commands is not None

    def refuse_release(self, session: SessionId, by: str) -> bool:
        """Turn a waiting technician away; False if nobody waits under this name."""
        commands = self.releases.refused(session, by)
        self._do(commands or [])
        return commands is not None

    def enrolled(self, enrolment: Enrolment) -> None:
        self.link.enrolment = enrolment
        self._sync_link()

    # Tasks.

    async def run(self) -> None:
        """Live until the process is asked to stop, then close everything."""
        self._records.write(AuditAction.GATEWAY_STARTED)
        gate = self._ctx.tasks.create_task(self.gate.run(), name="gate")
        clock = self._ctx.tasks.create_task(self._watch_clock(), name="clock")
        key = self._ctx.tasks.create_task(self.key_switch.watch(self._key_turned), name="key")
        self._sync_link()
        await self._ctx.stopping.wait()
        await self.end(None, EndReason.GATEWAY_GONE)
        self._regions.stop()
        await self.link.stop()
        for task in (clock, gate, key):
            task.cancel()
        await asyncio.gather(clock, gate, key, return_exceptions=True)

    def _key_turned(self) -> None:
        """Close at once; the link goes when that is done."""
        self._records.write(
            AuditAction.KEY_SWITCH_TURNED, detail={"key_switch": self.key_switch.state.value}
        )
        if self.key_switch.is_closed:
            self._sync_link()
        else:
            self._ctx.tasks.create_task(self._key_opened(), name="key-opened")

    async def _key_opened(self) -> None:
        await self.end(None, EndReason.PLANT_OFF, actor="key switch")
        await self._hang_up()

    async def _watch_clock(self) -> None:
        """End what the clock ends: leases, sessions, and access that was ON until now."""
        while True:
            now = boottime()
            if self.access.state.mode is AccessMode.ON_UNTIL and not self.access.is_on(now):
                with suppress(OSError):  # expired stays expired, whatever the disk says
                    await self.turn_off("", AuditAction.ACCESS_EXPIRED)
            self._do([*self.releases.due(now), *self.sessions.due(now)])
            deadlines = [self.sessions.deadline(), self.releases.deadline()]
            left = self.access.remaining_s(now)
            deadlines.append(None if left is None else now + left)
            next_due = min((d for d in deadlines if d is not None), default=None)
            self._clock_moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if next_due is None else max(0, next_due - now)):
                    await self._clock_moved.wait()

    # Events of the gate.

    def gate_measured(self, tunnels: tuple[TunnelCounters, ...]) -> None:
        self._do(self.sessions.measured(tunnels, boottime(), self.tunnels.path))

    def gate_expired(self, sessions: tuple[SessionId, ...]) -> None:
        """The kernel closed the door before the renewal came; it stays closed."""
        for session in sessions:
            self._do(self.sessions.end(session, EndReason.GATE_FAILED, detail="renewed too late"))

    def gate_lost(self, detail: str) -> None:
        self._do(self.sessions.end_all(EndReason.GATE_FAILED, detail=detail))

    def gate_tampered(self, detail: str) -> None:
        self._records.write(AuditAction.RULESET_MISMATCH, detail={"detail": detail})
        self._do(self.sessions.end_all(EndReason.RULESET_MISMATCH, detail=detail))

    def gate_counted(self, flows: Flows) -> None:
        self._do([*self.flow_record.counted(flows, boottime(), wall_ms())])

    def gate_gone(self, session: SessionId, detail: str) -> None:
        self._do(self.sessions.end(session, EndReason.GATE_FAILED, detail=detail))

    # Events of the tunnels.

    def tunnel_prepared(self, session: SessionId, tunnel_key: TunnelKey) -> None:
        self._do(self.sessions.prepared(session, tunnel_key))

    def tunnel_opened(self, session: SessionId, opened: Opened) -> None:
        self._do(self.sessions.opened(session, opened.interface, opened.backend))

    def tunnel_closed(self, session: SessionId, flows: Flows | None) -> None:
        self._do([*self.flow_record.ended(session, flows, wall_ms())])

    def tunnel_refused(self, session: SessionId, exc: GateRefused | GateUnavailable) -> None:
        error = exc.error if isinstance(exc, GateRefused) else None
        self._do(self.sessions.refused_by_gate(session, error, str(exc)))

    def tunnel_path_changed(self, session: SessionId, path: PathStatus) -> None:
        self._do(self.sessions.path_changed(session, path, boottime()))

    def tell_other_end(self, session: SessionId, payload: bytes) -> bool:
        if not self.link.is_up:
            return False
        self.link.tell(PathSignal(session, payload))
        return True

    # Events of the control link.

    def link_up(self, welcome: LinkWelcome) -> None:
        self.link.begin_anew()
        self.tunnels.control_link_is(up=True)
        self._records.stored(welcome.audit_seq)
        self._tell_state()
        if self._records.heads.newest is not None:
            self.link.tell(self._records.heads.newest)
        self._records.begin_upload(self.link.tell)
        self._regions.start(welcome.regions)

    def _regions_measured(self) -> None:
        found = {each.region: each.rtt_ms for each in self._regions.measured()}
        self._ctx.log.info(REGIONS_MEASURED, rtt_ms=found)
        self._tell_state()

    def link_down(self, detail: str) -> None:
        self.link.detail = detail
        self._regions.stop()
        self.tunnels.control_link_is(up=False)
        self._records.stop_upload()

    def link_acked(self, body: Body) -> None:
        if isinstance(body, AuditBatch):
            self._records.stored(body.events[-1].seq)
            self._records.begin_upload(self.link.tell)

    def link_body(self, body: Body, sent_ms: int) -> None:
        match body:
            case SessionOffer():
                self._do(self._offers.consider(body, sent_ms, boottime()))
            case LeaseRenewal():
                self._do(self.sessions.lease_renewed(body, sent_ms, boottime()))
            case PathSignal(session, payload):
                self.tunnels.signalled(session, payload)
            case SessionEnd(session, reason):
                self._do([*self.releases.withdrawn(session), *self.sessions.end(session, reason)])
            case AuditHead():
                self._records.keep_head(body)
            case _:
                # A newer control plane may say more; nothing unknown has an effect here.
                self._ctx.log.warning("message_ignored", kind=type(body).__name__)

    # Commands of the core.

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            self._effects.carry_out(command)
        self._lamp.show(connected=any(each.is_open for each in self.sessions.open))
        self._metrics.show(self, record_fault=bool(self._records.fault))
        self._clock_moved.set()

    # The link.

    def _tell_state(self) -> None:
        if self.link.is_up:
            state = gateway_state(self.access.state, self.sessions, self.releases)
            pinned, measured = self._config.region, self._regions.measured()
            self.link.tell(replace(state, pinned_region=pinned, regions=measured))

    def _sync_link(self) -> None:
        if self.is_on:
            self.link.start()
        self._clock_moved.set()

    async def _hang_up(self) -> None:
        if not self.is_on:  # it may be ON again: closing takes a moment
            self._regions.stop()
            await self.link.stop()
