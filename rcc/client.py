"""One session of the technician around its pure core: gate, relay legs, direct path.

It has a connection to the gate of its own: whatever ends the session, the gate removes interface
and routes when that closes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rcc.session import (
    Command,
    DialRelays,
    Finish,
    OpenTunnel,
    PinGateway,
    RenewRelays,
    SignAndRedeem,
    TechnicianSession,
    Tell,
)
from rclib.runtime.clock import boottime
from rclib.tunnel.gate_client import GateClient, GateRefused, GateUnavailable
from rclib.wire.check_phrase import check_phrase
from rclib.wire.client import ClientState, ClientStatus
from rclib.wire.control import (
    Body,
    LeaseRenewal,
    PathSignal,
    ReleasePending,
    SessionEnd,
    SessionGrant,
    SessionRefusal,
    SessionRelays,
    TicketRedeem,
)
from rclib.wire.gate import RENEW_S, Open, allow
from rclib.wire.identity import offer_key_statement
from rclib.wire.ids import EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from rcc.config import RccConfig
    from rcc.deep_link import DeepLink
    from rcc.tunnel import TechnicianTunnel
    from rclib.runtime.logs import Logger
    from rclib.tunnel.control_link import ControlLink
    from rclib.tunnel.enrolment import Identity
    from rclib.tunnel.pins import Pins
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import RelayLeg
    from rclib.wire.ids import IdentityKey
    from rclib.wire.link import LinkWelcome

MEASURE_S: Final = 1.0
FIRST_MEASURE_S: Final = 0.2
"""Until the first handshake, which is noticed so soon."""
GOODBYE_S: Final = 2.0


def load_tunnel() -> ModuleType:
    """Import what packets travel by; for a thread."""
    return import_module("rcc.tunnel")


def load_path() -> None:
    """Import that, and then what a direct path takes; for a thread."""
    load_tunnel()
    import_module("rclib.tunnel.direct_path")


class Client:
    """One session of one technician."""

    def __init__(
        self,
        config: RccConfig,
        link: DeepLink,
        *,
        control: ControlLink,
        identity: Identity,
        pins: Pins,
        uplink: Uplink,
        log: Logger,
    ) -> None:
        # Fixed after construction.
        self._config = config
        self._identity = identity
        self._pins = pins
        self._uplink = uplink
        self._log = log
        self.core = TechnicianSession(link.session, link.ticket, boottime())
        self._link = control
        self.finished = asyncio.Event()
        self.removed = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None
        # Of the running session.
        self._gate: GateClient | None = None
        self._end: TechnicianTunnel | None = None
        self._dialling: asyncio.Task[tuple[TechnicianTunnel, int]] | None = None
        self._interface = ""
        self._phrase: tuple[str, ...] = ()
        self._tasks: asyncio.TaskGroup | None = None
        self._clock_moved = asyncio.Event()

    async def run(self) -> None:
        """From the link to the end of the session; everything is removed afterwards.

        Raises GateUnavailable if the privileged half is not there.
        """
        self._gate = await GateClient.connect(
            Path(self._config.gate_socket),
            program="rcc-gate",
            hint="it is installed once with administrator rights: systemctl start rcc-gate",
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._prepare(self._gate))
                watches = [
                    tasks.create_task(self._watch_clock()),
                    tasks.create_task(self._watch_gate(self._gate)),
                    tasks.create_task(self._watch_events(self._gate)),
                ]
                await self.finished.wait()
                for watch in watches:
                    watch.cancel()
        finally:
            # The gate first: routes of a dead session must not swallow packets.
            await self._gate.aclose()
            if self._dialling is not None:
                await asyncio.wait({self._dialling})
            if self._end is not None:
                await self._end.close()
            await self._link.flushed(GOODBYE_S)
            self.removed.set()

    def disconnect(self) -> None:
        self._do(self.core.disconnect())

    def status(self) -> ClientStatus:
        core, grant = self.core, self.core.grant
        connected = None if core.connected_at is None else boottime() - core.connected_at
        return ClientStatus(
            session=core.session,
            state=core.state,
            path=core.path,
            path_details=self._end.path() if self._end else None,
            name=grant.name if grant else "",
            gateway=grant.gateway_name if grant else "",
            targets=core.reachable(),
            interface=self._interface,
            connected_s=connected,
            received_bytes=core.received_bytes,
            sent_bytes=core.sent_bytes,
            end_reason=core.end_reason,
            refusal=core.refusal,
            detail=core.detail,
            check_phrase=self._phrase if core.state is ClientState.WAITING_FOR_PLANT else (),
        )

    # Events of the control link.

    def link_up(self, welcome: LinkWelcome) -> None:  # noqa: ARG002 - nothing in it concerns us
        if self._end is not None:
            self._end.control_link_is(up=True)

    def link_down(self, detail: str) -> None:
        if self._end is not None:
            self._end.control_link_is(up=False)
        if self.core.state in (ClientState.REDEEMING, ClientState.WAITING_FOR_PLANT):
            self.core.detail = detail
            self.changed()

    def link_acked(self, body: Body) -> None:
        pass

    def link_body(self, body: Body, sent_ms: int) -> None:
        match body:
            case SessionGrant():
                pinned = self._pins.known(EndpointId(body.gateway))
                own = self._identity.public
                self._do(
                    self.core.granted(body, sent_ms, boottime(), pinned=pinned, own_identity=own)
                )
            case SessionRelays():
                self._do(self.core.relays_named(body))
            case ReleasePending():
                self._do(self.core.release_pending(body, boottime()))
                if self._tasks is not None and self.core.asked is not None:
                    self._tasks.create_task(self._find_words(self.core.asked))
            case LeaseRenewal():
                self._do(self.core.lease_renewed(body, sent_ms, boottime()))
            case SessionRefusal():
                self._do(self.core.refused(body))
            case PathSignal(session, payload):
                if self._end is not None and session == self.core.session:
                    self._end.signalled(payload)
            case SessionEnd():
                self._do(self.core.ended_remotely(body))
            case _:
                self._log.warning("message_ignored", kind=type(body).__name__)

    # Commands of the core.

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SignAndRedeem(session, ticket, tunnel_key):
                    signature = self._identity.sign(offer_key_statement(session, tunnel_key))
                    self._link.send(TicketRedeem(session, ticket, tunnel_key, signature))
                case PinGateway(gateway, key):
                    try:
                        self._pins.pin(EndpointId(gateway), key)
                    except OSError as exc:
                        self._do(self.core.failed(f"cannot remember the gateway: {exc.strerror}"))
                        return
                case DialRelays(relays):
                    self._dial(relays)
                case OpenTunnel(grant):
                    if self._tasks is not None:
                        self._tasks.create_task(self._open(grant))
                case RenewRelays(relays):
                    if self._end is not None:
                        self._end.renew(relays)
                case Tell(body):
                    self._link.send(body)
                case Finish():
                    self.finished.set()
        self._clock_moved.set()
        self.changed()

    async def _find_words(self, gateway: IdentityKey) -> None:
        # Slow by intent, and other sessions of this process have packets to carry.
        self._phrase = await asyncio.to_thread(check_phrase, self._identity.public, gateway)
        self.changed()

    async def _prepare(self, gate: GateClient) -> None:
        try:
            tunnel_key = await gate.prepare(self.core.session)
        except (GateRefused, GateUnavailable) as exc:
            self._do(self.core.failed(str(exc)))
        else:
            self._do(self.core.prepared(tunnel_key))

    def _dial(self, relays: tuple[RelayLeg, ...]) -> asyncio.Task[tuple[TechnicianTunnel, int]]:
        """Be at the relays; once. Returns the tunnel's end and WireGuard's endpoint port."""
        if self._dialling is None:
            self._dialling = asyncio.create_task(self._begin(relays))
        return self._dialling

    async def _begin(self, relays: tuple[RelayLeg, ...]) -> tuple[TechnicianTunnel, int]:
        tunnel = await asyncio.to_thread(load_tunnel)
        mine = (self.core.session, self._identity, relays)
        end = self._end = tunnel.TechnicianTunnel(*mine, self._uplink, self._log)
        return end, await end.start()

    async def _open(self, grant: SessionGrant) -> None:
        if self._gate is None:
            raise AssertionError("a session opens only while its gate is connected; see run()")
        try:
            end, endpoint_port = await asyncio.shield(self._dial(grant.relays))
            end.granted(
                grant,
                self._gate,
                self._config.mtu,
                control=self._tell_gateway,
                on_change=lambda status: self._do(self.core.path_changed(status, boottime())),
            )
            opened = await self._gate.open(
                Open(
                    grant.session,
                    grant.peer.tunnel_key,
                    grant.link.technician,
                    grant.link.gateway,
                    endpoint_port,
                    tuple(allow(target) for target in grant.targets),
                    self._config.mtu,
                )
            )
            self._interface = opened.interface
            end.wireguard_listens(opened.listen_port)
            self._do(self.core.opened())
            # Under which addresses, before anybody is told that there is a connection.
            self._do(self.core.measured(await self._gate.measure(), boottime()))
        except (GateRefused, GateUnavailable) as exc:
            self._do(self.core.failed(str(exc)))

    def _tell_gateway(self, payload: bytes) -> bool:
        if self._link.is_up:
            self._link.send(PathSignal(self.core.session, payload))
        return self._link.is_up

    # Tasks.

    async def _watch_clock(self) -> None:
        while True:
            now = boottime()
            self._do(self.core.due(now))
            self._clock_moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self.core.deadline() - now)):
                    await self._clock_moved.wait()

    async def _watch_gate(self, gate: GateClient) -> None:
        next_renewal = 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self.core.state in (ClientState.CONNECTING, ClientState.CONNECTED):
                    if loop.time() >= next_renewal:
                        next_renewal = loop.time() + RENEW_S
                        await gate.renew((self.core.session,))
                    reach = self.core.reach
                    measured = self.core.measured(await gate.measure(), boottime())
                    if measured:
                        self._do(measured)
                    elif self.core.reach != reach:
                        self.changed()
                is_connected = self.core.state is ClientState.CONNECTED
                await asyncio.sleep(MEASURE_S if is_connected else FIRST_MEASURE_S)
        except (GateRefused, GateUnavailable) as exc:
            self._do(self.core.failed(str(exc)))

    async def _watch_events(self, gate: GateClient) -> None:
        try:
            async for event in gate.events():
                self._do(self.core.failed(event.detail))
        except GateUnavailable as exc:
            self._do(self.core.failed(str(exc)))
