"""The gateway's tunnels: what the session core asks of the gate and of the relay legs, carried out.

One task per step and session. Whatever a step comes to is told to the handler, which feeds it to
the core; nothing here decides whether a session may exist.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from rclib.tunnel.gate_client import GateRefused, GateUnavailable
from rclib.tunnel.own_addresses import NetworkWatch
from rclib.tunnel.path_settings import PathSettings
from rclib.tunnel.tunnel_end import Drops, TunnelEnd
from rclib.wire.gate import GateError, Open, allow
from rclib.wire.identity import Side

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rcd.config import RcdConfig
    from rcd.gate_link import GateLink
    from rclib.runtime.context import Context
    from rclib.tunnel.enrolment import Identity
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import RelayLeg, SessionOffer
    from rclib.wire.gate import Flows, Opened
    from rclib.wire.ids import SessionId, TunnelKey
    from rclib.wire.session import PathStatus

CLOSE_S: Final = 2.0
"""Within which everything of a session is gone; what then still hangs has no rules left."""

SESSION_CLOSE_FAILED = "session_close_failed"
COMMAND_REFUSED = "command_refused"


class TunnelHandler(Protocol):
    """What the daemon does with what became of a step."""

    def tunnel_prepared(self, session: SessionId, tunnel_key: TunnelKey) -> None: ...
    def tunnel_opened(self, session: SessionId, opened: Opened) -> None: ...
    def tunnel_refused(self, session: SessionId, exc: GateRefused | GateUnavailable, /) -> None: ...
    def tunnel_closed(self, session: SessionId, flows: Flows | None) -> None:
        """With what passed in it; None: the gate does not say."""
        ...

    def tunnel_path_changed(self, session: SessionId, path: PathStatus) -> None: ...
    def tell_other_end(self, session: SessionId, payload: bytes) -> bool:
        """By the control link; False: it is down."""
        ...


class Tunnels:
    """The tunnels of all sessions of this gateway."""

    def __init__(
        self,
        config: RcdConfig,
        ctx: Context,
        handler: TunnelHandler,
        *,
        gate: GateLink,
        identity: Identity,
        uplink: Uplink,
    ) -> None:
        # Fixed after construction.
        self._config = config
        self._ctx = ctx
        self._handler = handler
        self._gate = gate
        self._identity = identity
        self._uplink = uplink
        import_module("rclib.tunnel.direct_path")  # now rather than in the first session
        # Of the open sessions.
        self._ends: dict[SessionId, TunnelEnd] = {}
        self._dropped = Drops()
        """Of sessions that have ended."""
        self._network: NetworkWatch | None = None
        self._work: dict[asyncio.Task[None], SessionId] = {}

    def prepare(self, session: SessionId) -> None:
        """Have the gate make the session's key."""
        self._start(session, self._prepare(session))

    def open(self, offer: SessionOffer) -> None:
        """Dial the relays; have the gate put up rules and interface."""
        self._start(offer.session, self._open(offer))

    def renew_relays(self, session: SessionId, relays: tuple[RelayLeg, ...]) -> None:
        if session in self._ends:
            self._ends[session].renew(relays)

    def path(self, session: SessionId) -> PathStatus | None:
        """The path a session's packets take; None before its tunnel is up."""
        end = self._ends.get(session)
        return end.path() if end is not None else None

    def drops(self) -> Drops:
        """What did not go on, of all sessions since the start, by place."""
        return sum((end.drops() for end in self._ends.values()), self._dropped.copy())

    def signalled(self, session: SessionId, payload: bytes) -> None:
        """The other end said something, by the control link."""
        if session in self._ends:
            self._ends[session].signalled(payload)

    def control_link_is(self, *, up: bool) -> None:
        for end in self._ends.values():
            end.control_link_is(up=up)

    def probe(self, session: SessionId) -> None:
        """Break a silence from our side."""
        self._start(session, self._probe(session))

    def close(self, session: SessionId) -> None:
        self._start(session, self._close(session))

    async def closed(self, session: SessionId | None) -> None:
        """Wait until what was asked for one session, or all, is done, at most CLOSE_S."""
        closing = [task for task, of in self._work.items() if session in (None, of)]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_S)

    # Steps.

    def _start(self, session: SessionId, work: Coroutine[None, None, None]) -> None:
        task = self._ctx.tasks.create_task(work, name=f"{session}")
        self._work[task] = session
        task.add_done_callback(self._work.pop)

    async def _prepare(self, session: SessionId) -> None:
        try:
            tunnel_key = await self._gate.client.prepare(session)
        except (GateRefused, GateUnavailable) as exc:
            self._refused(session, exc)
        else:
            self._handler.tunnel_prepared(session, tunnel_key)

    async def _open(self, offer: SessionOffer) -> None:
        session = offer.session
        path = PathSettings(
            peer=offer.peer.identity_key,
            stun=offer.stun,
            gate=self._gate,
            mtu=self._config.mtu,
            control=lambda payload: self._handler.tell_other_end(session, payload),
            on_change=lambda status: self._handler.tunnel_path_changed(session, status),
        )
        mine = (session, Side.GATEWAY, self._identity, offer.relays)
        end = self._ends[session] = TunnelEnd(*mine, self._uplink, self._ctx.log)
        end.look_for_path(path)
        if self._network is None:
            self._network = NetworkWatch(self._network_changed)
        try:
            endpoint_port = await end.start()
            opened = await self._gate.client.open(self._request(offer, endpoint_port))
        except (GateRefused, GateUnavailable) as exc:
            self._refused(offer.session, exc)
        else:
            end.wireguard_listens(opened.listen_port)
            self._handler.tunnel_opened(offer.session, opened)

    def _request(self, offer: SessionOffer, endpoint_port: int) -> Open:
        return Open(
            offer.session,
            offer.peer.tunnel_key,
            offer.link.gateway,
            offer.link.technician,
            endpoint_port,
            tuple(allow(target) for target in offer.targets),
            self._config.mtu,
            # Without keepalives this end never initiates: two ends that start in the
            # same instant can keep missing each other, five seconds a time.
            keepalive_s=0,
        )

    async def _probe(self, session: SessionId) -> None:
        # A gate that is away or has closed it says so by itself.
        with suppress(GateRefused, GateUnavailable):
            await self._gate.client.probe(session)

    async def _close(self, session: SessionId) -> None:
        # The gate first: it is what keeps the plant shut.
        flows: Flows | None = None
        try:
            await self._gate.client.close(session)
            flows = await self._gate.client.flows(session)
        except GateUnavailable as exc:
            self._ctx.log.warning(SESSION_CLOSE_FAILED, session=session, detail=str(exc))
        except GateRefused as exc:
            if exc.error is not GateError.UNKNOWN_SESSION:  # it never came to be open
                self._ctx.log.warning(SESSION_CLOSE_FAILED, session=session, detail=str(exc))
        self._handler.tunnel_closed(session, flows)
        end = self._ends.pop(session, None)
        if end is not None:
            await end.close()
            self._dropped += end.drops()
        if not self._ends and self._network is not None:
            self._network.close()
            self._network = None

    def _network_changed(self) -> None:
        for end in self._ends.values():
            end.network_changed()

    def _refused(self, session: SessionId, exc: GateRefused | GateUnavailable) -> None:
        self._ctx.log.warning(COMMAND_REFUSED, session=session, detail=str(exc))
        self._handler.tunnel_refused(session, exc)
