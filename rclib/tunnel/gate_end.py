"""What the gateway's gate and the technician's do differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.tunnel.gate_plan import IPNetwork, TunnelPlan
    from rclib.wire.gate import Flows
    from rclib.wire.ids import SessionId
    from rclib.wire.session import IPAddress


class GateEnd(Protocol):
    """What the gateway's gate and the technician's do differently. Methods raise GateRefused."""

    prefix: str
    """Of the interfaces' names."""
    lifetime_s: float | None
    """How long a session lives without renewal; None: as long as its connection."""

    def rehearse(self) -> None:
        """Find out at the start whether this kernel takes the rules; changes nothing."""

    def admit(self, plan: TunnelPlan) -> None:
        """Refuse what this machine must not or cannot do; changes nothing."""

    def allowed(self, plan: TunnelPlan) -> tuple[IPNetwork, ...]:
        """Return what the peer may send from and is sent packets for."""

    def install(self) -> None:
        """Put the rules up that drop everything, before the first session."""

    def permit(self, plan: TunnelPlan) -> None:
        """Put up what lets the session's packets through."""

    def forbid(self, plan: TunnelPlan) -> None:
        """Take that down, with what the kernel remembers of the session's connections."""

    def attach(self, plan: TunnelPlan) -> None:
        """Set the new interface up, which is still down."""

    def route(self, plan: TunnelPlan) -> None:
        """Lead packets to the interface, which is up now."""

    def flows(self, session: SessionId) -> Flows:
        """Return what passed in a session that is or was open."""

    def reach(self, plan: TunnelPlan) -> tuple[IPAddress | None, ...]:
        """Return under which address each device is reached from here; None: no longer."""

    def renew(self, plans: Iterable[TunnelPlan], /) -> frozenset[SessionId]:
        """Let sessions live on; return those it is too late for."""

    def inspect(self, plans: Iterable[TunnelPlan], /) -> str | None:
        """Say what somebody else changed; None: nothing."""

    def guard(self) -> str | None:
        """Undo what somebody opened while no session is open, and say what it was."""

    def sweep(self) -> None:
        """Remove all that this end ever put up, also what a killed gate left."""
