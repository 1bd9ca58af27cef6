"""What the session core's commands come to: each is carried out here, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rcd.commands import (
    CloseTunnel,
    OpenTunnel,
    PinIdentity,
    PrepareTunnel,
    ProbeTunnel,
    Record,
    RenewRelays,
    SendAnswer,
    SendRelease,
    Tell,
)
from rcd.statements import signed_answer, signed_release
from rclib.runtime.clock import boottime
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from rcd.commands import Command
    from rcd.flow_record import FlowRecord
    from rcd.plant_link import PlantLink
    from rcd.records import Records
    from rcd.tunnels import Tunnels
    from rclib.tunnel.enrolment import Identity
    from rclib.tunnel.pins import Pins


class Effects:
    """The tunnels, the control link, the record and the pins, as the core commands them."""

    def __init__(
        self,
        *,
        identity: Identity,
        tunnels: Tunnels,
        flow_record: FlowRecord,
        link: PlantLink,
        records: Records,
        pins: Pins,
    ) -> None:
        self._identity = identity
        self._tunnels = tunnels
        self._flow_record = flow_record
        self._link = link
        self._records = records
        self._pins = pins

    def carry_out(self, command: Command) -> None:
        match command:
            case PinIdentity():
                self._pin(command)
            case PrepareTunnel(session):
                self._tunnels.prepare(session)
            case OpenTunnel(offer):
                self._flow_record.begun(offer, boottime())
                self._tunnels.open(offer)
            case SendRelease():
                self._link.tell(signed_release(self._identity, command))
            case SendAnswer():
                self._link.tell(signed_answer(self._identity, command))
            case RenewRelays(session, relays):
                self._tunnels.renew_relays(session, relays)
            case ProbeTunnel(session):
                self._tunnels.probe(session)
            case CloseTunnel(session):
                self._tunnels.close(session)
            case Tell(body):
                self._link.tell(body)
            case Record(action, session, actor, detail):
                self._records.write(action, session=session, actor=actor, detail=detail)

    def _pin(self, command: PinIdentity) -> None:
        try:
            self._pins.pin(command.endpoint, command.key)
        except OSError as exc:
            # Unpinned, the next key would be accepted as the first: not on this gateway.
            self._records.fault = f"the gateway's disk takes no data: {exc.strerror}"
        self._records.write(AuditAction.IDENTITY_PINNED, detail={"endpoint": command.endpoint})
