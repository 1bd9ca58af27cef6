"""The gate's sessions: what is prepared, what is open, and how each goes away again.

The same for both ends of a tunnel; what differs is a `GateEnd`. Everything blocks and nothing is
safe to call twice at once: one thread does all of it (`rclib.tunnel.gate_server`).
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rclib.runtime.clock import boottime
from rclib.tunnel.endpoint_policy import read_endpoint
from rclib.tunnel.gate_errors import MAX_DETAIL, GateRefused
from rclib.tunnel.gate_plan import (
    IPV6,
    TunnelPlan,
    check_among,
    interface_name,
    plan_tunnel,
)
from rclib.tunnel.wireguard import KeyPair, Steering, TunnelSettings, WireGuard, make_key_pair
from rclib.tunnel.wireguard_choice import choose_wireguard
from rclib.wire.gate import (
    GateError,
    Gone,
    Measured,
    Opened,
    Prepared,
    Renewed,
    Tampered,
    TunnelCounters,
    UdpEndpoint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rclib.runtime.logs import Logger
    from rclib.tunnel.gate_end import GateEnd
    from rclib.tunnel.gate_netlink import Netlink
    from rclib.wire.gate import Flows, Open, Steer
    from rclib.wire.ids import SessionId

PEER_HOST: Final = "127.0.0.1"
"""Where every peer seems to be: the loopback socket of the relay leg."""

REPEAT_S: Final = 60.0
"""How often the same tampering is reported while no session is open."""

WIREGUARD_CHOSEN = "wireguard_chosen"
TUNNEL_OPENED = "tunnel_opened"
TUNNEL_CLOSED = "tunnel_closed"
TUNNEL_CLOSE_FAILED = "tunnel_close_failed"
RULES_TAMPERED = "rules_tampered"


@dataclass(slots=True)
class _OpenTunnel:
    plan: TunnelPlan
    undo: ExitStack
    renewed_at: float


class Gate:
    """One end's sessions. Call `sweep` at the start and at the end."""

    def __init__(
        self,
        end: GateEnd,
        netlink: Netlink,
        log: Logger,
        *,
        max_sessions: int,
        choose: Callable[[Netlink, str], WireGuard] = choose_wireguard,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._end = end
        self._netlink = netlink
        self._log = log
        self._max_sessions = max_sessions
        self._choose = choose
        self._clock = clock
        self._wireguard: WireGuard | None = None
        self._prepared: dict[SessionId, KeyPair] = {}
        self._begun: dict[SessionId, str] = {}
        """Interfaces of prepared sessions, which are down and know nobody."""
        self._open: dict[SessionId, _OpenTunnel] = {}
        self._said: tuple[str, float] = ("", 0.0)
        self._is_swept = True

    @property
    def sessions(self) -> int:
        """How many tunnels are open."""
        return len(self._open)

    def wireguard(self) -> WireGuard:
        """Find out once which WireGuard there is; raises GateRefused until there is one."""
        if self._wireguard is None:
            self._wireguard = self._choose(self._netlink, self._end.prefix)
            self._log.info(WIREGUARD_CHOSEN, backend=self._wireguard.name)
        return self._wireguard

    def prepare(self, session: SessionId) -> Prepared:
        if session in self._prepared or session in self._open:
            raise GateRefused(GateError.SESSION_EXISTS, f"{session} has its key already")
        if len(self._prepared) + len(self._open) >= self._max_sessions:
            raise GateRefused(
                GateError.TOO_MANY_SESSIONS,
                f"{self._max_sessions} sessions are open or about to be (max_sessions)",
            )
        self.wireguard()
        keys = self._prepared[session] = make_key_pair()
        return Prepared(keys.public)

    def begin(self, session: SessionId) -> None:
        """Do of a prepared session what takes time and opens nothing; `open` does what is missing.

        The plant's grant is on its way meanwhile.
        """
        interface = interface_name(self._end.prefix, session)
        in_use = {*self._begun.values(), *(each.plan.interface for each in self._open.values())}
        if session in self._prepared and interface not in in_use:
            self._begun[session] = interface
            with suppress(GateRefused):  # for the same reason `open` fails, and says so
                self.wireguard().begin(interface)

    def open(self, request: Open) -> Opened:
        """Rules first, interface up last; what fails on the way is undone in reverse."""
        session = request.session
        if session in self._open:
            raise GateRefused(GateError.SESSION_EXISTS, f"{session} is open already")
        keys = self._prepared.get(session)
        if keys is None:
            raise GateRefused(GateError.UNKNOWN_SESSION, f"{session} was not prepared")
        try:
            plan = plan_tunnel(self._end.prefix, request)
            check_among(plan, (each.plan for each in self._open.values()))
            self._end.admit(plan)
        except BaseException:
            self._take_back(session)
            raise
        try:
            opened = self._build(plan, keys)
        except BaseException:
            self._sweep_if_idle()
            raise
        del self._prepared[session]
        self._log.info(
            TUNNEL_OPENED,
            session=session,
            interface=plan.interface,
            listen_port=opened.listen_port,
            grants=[str(grant) for grant in plan.grants],
        )
        return opened

    def renew(self, sessions: Iterable[SessionId]) -> Renewed:
        """Renew what still lives; what does not is closed at once, and named."""
        now = self._clock()
        asked = tuple(dict.fromkeys(sessions))
        alive = {
            each: self._open[each]
            for each in asked
            if each in self._open and not self._has_expired(self._open[each], now)
        }
        try:
            late = self._end.renew(tunnel.plan for tunnel in alive.values())
        except GateRefused as exc:
            self._close_after(f"no session could be renewed: {exc.detail}")
            raise
        for session, tunnel in alive.items():
            if session not in late:
                tunnel.renewed_at = now
        expired = tuple(each for each in asked if each not in alive or each in late)
        for session in expired:
            self._shut(session, "renewed too late")
        return Renewed(expired)

    def close(self, session: SessionId) -> None:
        self._forget(session)
        self._shut(session, "asked to")

    def close_all(self, why: str = "asked to") -> None:
        """Close every session, even if closing one of them fails; raises what failed last."""
        failure: GateRefused | None = None
        for session in tuple(self._prepared):
            self._forget(session)
        for session in tuple(self._open):
            try:
                self._shut(session, why)
            except GateRefused as exc:
                failure = exc
        if failure is not None:
            raise failure

    def measure(self) -> Measured:
        tunnels = []
        for session, tunnel in self._open.items():
            try:
                counters = self.wireguard().counters(tunnel.plan.interface)
            except GateRefused:
                if tunnel.plan.interface in self._netlink.links(self._end.prefix):
                    raise
                continue  # removed by somebody; `watch` ends the session
            tunnels.append(
                TunnelCounters(
                    session,
                    counters.received_bytes,
                    counters.sent_bytes,
                    counters.handshake_age_s,
                    UdpEndpoint(*counters.endpoint) if counters.endpoint else None,
                    tuple(str(each or "") for each in self._end.reach(tunnel.plan)),
                )
            )
        return Measured(tuple(tunnels))

    def flows(self, session: SessionId) -> Flows:
        return self._end.flows(session)

    def steer(self, request: Steer) -> None:
        """Move or point a session's WireGuard; what it may point at is decided here."""
        plan = self._plan(request.session)
        endpoint = None if request.endpoint is None else _admitted(request.endpoint, plan)
        steering = Steering(plan.peer_key, plan.keepalive_s, request.listen_port, endpoint)
        self.wireguard().steer(plan.interface, steering)

    def probe(self, session: SessionId) -> None:
        plan = self._plan(session)
        self.wireguard().probe(plan.interface, Steering(plan.peer_key, plan.keepalive_s))

    def watch(self) -> tuple[Tampered | Gone, ...]:
        """Look after the open sessions; what is not as it should be is closed, then reported."""
        if not self._open:
            return self._watch_idle()
        try:
            fault = self._end.inspect(tunnel.plan for tunnel in self._open.values())
            present = self._netlink.links(self._end.prefix)
        except GateRefused as exc:
            fault, present = f"the rules cannot be read: {exc.detail}", ()
        if fault is not None:
            self._log.error(RULES_TAMPERED, reason=fault)
            return (Tampered(self._close_after(fault)[:MAX_DETAIL]),)
        now = self._clock()
        gone = []
        for session, tunnel in tuple(self._open.items()):
            if tunnel.plan.interface not in present:
                reason = f"its interface {tunnel.plan.interface} was removed"
            elif self._has_expired(tunnel, now):
                reason = f"it was not renewed for {self._end.lifetime_s:g} s"
            else:
                continue
            with suppress(GateRefused):  # on record by then, and the end is reported all the same
                self._shut(session, reason)
            gone.append(Gone(session, reason))
        return tuple(gone)

    def _close_after(self, fault: str) -> str:
        """Close everything as far as it goes; returns the fault, and what could not be closed."""
        try:
            try:
                self.close_all(fault)
            finally:
                self._end.guard()
        except GateRefused as exc:
            return f"{fault}; closing was incomplete: {exc.detail}"
        return fault

    def _watch_idle(self) -> tuple[Tampered, ...]:
        try:
            # What could not be closed is tried again until it can.
            if not self._is_swept:
                self._sweep_if_idle()
            fault = self._end.guard()
        except GateRefused as exc:
            fault = f"not everything could be closed: {exc.detail}"
        said, said_at = self._said
        now = self._clock()
        # Whatever keeps opening it is undone each time, and put on record once a minute.
        if fault is None or (fault == said and now - said_at < REPEAT_S):
            return ()
        self._said = (fault, now)
        self._log.error(RULES_TAMPERED, reason=fault)
        return (Tampered(fault[:MAX_DETAIL]),)

    def sweep(self) -> None:
        """Close what is open, then remove what may be left of others like this."""
        try:
            self.close_all("the gate ends")
        finally:
            self._end.sweep()

    def _build(self, plan: TunnelPlan, keys: KeyPair) -> Opened:
        wireguard = self.wireguard()
        settings = TunnelSettings(
            keys.private,
            plan.peer_key,
            (PEER_HOST, plan.endpoint_port),
            self._end.allowed(plan),
            plan.keepalive_s,
        )
        with ExitStack() as undo:
            if not self._open:
                if not self._is_swept:
                    self._sweep_if_idle()
                self._end.install()
            undo.callback(self._end.forbid, plan)
            self._end.permit(plan)
            undo.callback(wireguard.remove, plan.interface)
            self._begun.pop(plan.session, None)
            wireguard.create(plan.interface, settings)
            for version in plan.versions:
                self._netlink.add_address(
                    plan.interface, plan.local_address(version), plan.peer_address(version)
                )
            self._end.attach(plan)
            port = wireguard.bring_up(plan.interface, plan.mtu)
            if IPV6 in plan.versions:
                # IPv4's came with the address.
                self._netlink.add_route(
                    plan.interface, plan.peer_address(IPV6), plan.local_address(IPV6)
                )
            self._end.route(plan)
            self._open[plan.session] = _OpenTunnel(plan, undo.pop_all(), self._clock())
        return Opened(plan.interface, port, wireguard.name)

    def _plan(self, session: SessionId) -> TunnelPlan:
        tunnel = self._open.get(session)
        if tunnel is None:
            raise GateRefused(GateError.UNKNOWN_SESSION, f"{session} is not open")
        return tunnel.plan

    def _has_expired(self, tunnel: _OpenTunnel, now: float) -> bool:
        # The kernel's timeouts stand still while the machine is suspended; this clock does not.
        lifetime_s = self._end.lifetime_s
        return lifetime_s is not None and now - tunnel.renewed_at >= lifetime_s

    def _forget(self, session: SessionId) -> None:
        """A prepared session does not come to be."""
        self._prepared.pop(session, None)
        self._take_back(session)

    def _take_back(self, session: SessionId) -> None:
        """Undo `begin`; what cannot be removed now goes with the next sweep."""
        interface = self._begun.pop(session, None)
        if interface is not None:
            try:
                self.wireguard().remove(interface)
            except GateRefused as exc:
                self._is_swept = False
                self._log.error(TUNNEL_CLOSE_FAILED, session=session, reason=exc.detail)

    def _shut(self, session: SessionId, why: str) -> None:
        tunnel = self._open.pop(session, None)
        if tunnel is None:
            return
        try:
            tunnel.undo.close()
        except GateRefused as exc:
            # Nobody renews it any more, so that the kernel drops its packets within LIFETIME_S.
            self._log.error(TUNNEL_CLOSE_FAILED, session=session, reason=exc.detail)
            raise
        finally:
            self._sweep_if_idle()
        self._log.info(TUNNEL_CLOSED, session=session, reason=why)

    def _sweep_if_idle(self) -> None:
        if not self._open:
            self._is_swept = False
            for session in tuple(self._begun):
                self._take_back(session)
            self._end.sweep()
            self._is_swept = True


def _admitted(endpoint: UdpEndpoint, plan: TunnelPlan) -> tuple[str, int]:
    """Return where WireGuard may be pointed: the relay leg's own socket, or another machine."""
    relay = (PEER_HOST, plan.endpoint_port)
    if (endpoint.address, endpoint.port) == relay:
        return relay
    try:
        return str(read_endpoint(endpoint.address)), endpoint.port
    except ValueError as exc:
        raise GateRefused(GateError.FORBIDDEN_ADDRESS, f"no peer can be there: {exc}") from None
