"""Who is linked, and what is under way to them.

A peer outlives its links: messages that one link did not get acknowledged go out on the next,
and what was handled on one is not handled again on another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from controld.codes import new_id
from rclib.wire.control import LinkRefusal, LinkWelcome, Message
from rclib.wire.delivery import Inbox, Outbox, OutboxFullError
from rclib.wire.ids import EndpointId, MessageId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controld.records import LinkIdentity
    from rclib.runtime.logs import Logger
    from rclib.wire.access import AccessMode
    from rclib.wire.control import Body, GatewayState, LinkFrame

OUTBOX_DROPPED = "outbox_dropped"


class Link(Protocol):
    """One open control link, as the hub sees it. Neither call waits."""

    def transmit(self, frame: LinkFrame) -> None: ...

    def refuse(self, reason: LinkRefusal, detail: str) -> None:
        """Say why, then close."""


class Peer:
    """One endpoint, linked or not."""

    def __init__(self, now_ms: int) -> None:
        self.turn = asyncio.Lock()
        """Held while one of its messages is handled: an old link's last message and the new
        link's repetition of it must not meet."""
        self.inbox = Inbox()
        self.outbox = Outbox()
        self.link: Link | None = None
        self.gone_since_ms = now_ms
        self.software = ""
        """What the endpoint called its version on this link."""
        self.state: GatewayState | None = None
        """What a gateway said on this link; None until it has."""


class Hub:
    """All peers of this controld."""

    def __init__(self, now_ms: Callable[[], int], log: Logger) -> None:
        self._now_ms = now_ms
        self._log = log
        self._peers: dict[EndpointId, Peer] = {}
        self._started_ms = now_ms()

    def attach(self, identity: LinkIdentity, link: Link, software: str = "") -> Peer:
        """Make `link` the endpoint's one link: the old one goes, what is under way comes again."""
        peer = self._peer(identity.endpoint)
        if peer.link is not None:
            peer.link.refuse(LinkRefusal.REPLACED, "a newer link of this endpoint took over")
        peer.link = link
        peer.software = software
        peer.state = None
        link.transmit(LinkWelcome(name=identity.name, audit_seq=identity.audit_seq))
        for message in peer.outbox.unacked(self._now_ms()):
            link.transmit(message)
        return peer

    def detach(self, endpoint: EndpointId, link: Link) -> bool:
        """Forget a link that has closed; False if a newer one had replaced it."""
        peer = self._peer(endpoint)
        if peer.link is not link:
            return False
        peer.link = None
        peer.state = None
        peer.gone_since_ms = self._now_ms()
        return True

    def send(self, endpoint: EndpointId, body: Body) -> None:
        """Deliver a body at least once, now or when the endpoint is back."""
        peer = self._peer(endpoint)
        message = MessageId(new_id("msg"))
        try:
            peer.outbox.add(message, body)
        except OutboxFullError:
            # Reconciliation on the next link restores what the dropped messages would have said.
            self._log.warning(OUTBOX_DROPPED, endpoint=endpoint, messages=len(peer.outbox))
            peer.outbox = Outbox()
            peer.outbox.add(message, body)
        if peer.link is not None:
            peer.link.transmit(Message(message, self._now_ms(), body))

    def send_newest(self, endpoint: EndpointId, body: Body) -> None:
        """Send a body that makes the unacknowledged ones of its kind untrue; only if linked."""
        peer = self._peers.get(endpoint)
        if peer is not None and peer.link is not None:
            peer.outbox.discard(type(body))
            self.send(endpoint, body)

    def close(self, endpoint: EndpointId, reason: LinkRefusal, detail: str) -> None:
        """Close an endpoint's link, if there is one."""
        peer = self._peers.get(endpoint)
        if peer is not None and peer.link is not None:
            peer.link.refuse(reason, detail)

    def close_all(self, reason: LinkRefusal, detail: str) -> None:
        for endpoint in list(self._peers):
            self.close(endpoint, reason, detail)

    def is_linked(self, endpoint: EndpointId) -> bool:
        peer = self._peers.get(endpoint)
        return peer is not None and peer.link is not None

    def linked(self) -> Iterator[EndpointId]:
        return iter([e for e, peer in self._peers.items() if peer.link is not None])

    def gone_since_ms(self, endpoint: EndpointId) -> int | None:
        """Since when an endpoint has no link; None while it has. Before our start nobody had."""
        peer = self._peers.get(endpoint)
        if peer is None:
            return self._started_ms
        return None if peer.link is not None else peer.gone_since_ms

    def access_of(self, gateway: EndpointId) -> AccessMode | None:
        """The switch of a gateway as told on its open link; None: offline, or not told yet."""
        state = self.state_of(gateway)
        return state.access if state is not None else None

    def software_of(self, endpoint: EndpointId) -> str | None:
        """The version of an endpoint as told on its open link; None while it has none."""
        peer = self._peers.get(endpoint)
        return (peer.software or None) if peer is not None and peer.link is not None else None

    def note_state(self, gateway: EndpointId, state: GatewayState) -> None:
        """Remember what a gateway said about itself, for as long as its link is open."""
        peer = self._peer(gateway)
        if peer.link is not None:
            peer.state = state

    def state_of(self, gateway: EndpointId) -> GatewayState | None:
        peer = self._peers.get(gateway)
        return peer.state if peer is not None and peer.link is not None else None

    def _peer(self, endpoint: EndpointId) -> Peer:
        return self._peers.setdefault(endpoint, Peer(self._started_ms))
