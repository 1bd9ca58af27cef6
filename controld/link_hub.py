"""Who is linked, and what is under way to them.

A peer outlives its links: messages that one link did not get acknowledged go out on the next,
and what was handled on one is not handled again on another. Where several controlds serve one
database, what is not linked here may be linked there: what is for it goes into the letter box.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from controld.codes import new_id
from rclib.wire.control import AuditHead
from rclib.wire.delivery import Inbox, Outbox, OutboxFullError
from rclib.wire.ids import EndpointId, MessageId
from rclib.wire.link import LinkRefusal, LinkWelcome, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controld.records import LinkIdentity
    from controld.store_fleet import LinkRow
    from rclib.runtime.logs import Logger
    from rclib.wire.access import AccessMode
    from rclib.wire.control import Body, GatewayState
    from rclib.wire.link import LinkFrame, Region

OUTBOX_DROPPED = "outbox_dropped"


class RefusedError(Exception):
    """This link is not wanted; the peer is told why."""

    def __init__(self, reason: LinkRefusal, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Link(Protocol):
    """One open control link, as the hub sees it. Neither call waits."""

    software: str
    """What the endpoint called its version."""

    def transmit(self, frame: LinkFrame) -> None: ...

    def refuse(self, reason: LinkRefusal, detail: str) -> None:
        """Say why, then close."""


class Elsewhere(Protocol):
    """The other controlds that serve the same database. No call waits."""

    def post(self, endpoint: EndpointId, message: Message) -> None:
        """Have it delivered where the endpoint is, or will be."""

    def acknowledged(self, message: MessageId) -> None:
        """A posted message that was delivered here has arrived."""

    def wake(self) -> None:
        """A link has closed here."""

    def place_of(self, endpoint: EndpointId) -> LinkRow | None:
        """Where an endpoint is, or was last; None: here, or it has never been linked."""


class Peer:
    """One endpoint, linked or not."""

    def __init__(self, now_ms: int) -> None:
        self.turn = asyncio.Lock()
        """Held while one of its messages is handled: an old link's last message and the new
        link's repetition of it must not meet."""
        self.inbox = Inbox()
        self.outbox = Outbox()
        self.posted: set[MessageId] = set()
        """Those in the outbox that came out of the letter box."""
        self.link: Link | None = None
        self.claim = 0
        """The number of the link among all instances."""
        self.gone_since_ms = now_ms
        self.state: GatewayState | None = None
        """What a gateway said on this link; None until it has."""


class Hub:
    """All peers of this controld."""

    def __init__(
        self, now_ms: Callable[[], int], log: Logger, elsewhere: Elsewhere | None = None
    ) -> None:
        self._now_ms = now_ms
        self._log = log
        self._elsewhere = elsewhere
        self._peers: dict[EndpointId, Peer] = {}
        self._started_ms = now_ms()
        self.regions: tuple[Region, ...] = ()
        """What gateways are to measure."""

    def attach(self, identity: LinkIdentity, link: Link, claim: int = 0) -> Peer:
        """Make `link` the endpoint's one link: the old one goes, what is under way comes again."""
        peer = self._peer(identity.endpoint)
        if peer.link is not None:
            peer.link.refuse(LinkRefusal.REPLACED, "a newer link of this endpoint took over")
        peer.link = link
        peer.claim = claim
        peer.state = None
        regions = self.regions if identity.user is None else ()
        link.transmit(LinkWelcome(identity.name, identity.audit_seq, regions))
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
        if self._elsewhere is not None:
            peer.outbox.discard(AuditHead)  # the next link is greeted with the newest
            for message in peer.outbox.unacked(peer.gone_since_ms):
                self._elsewhere.post(endpoint, message)
            peer.outbox = Outbox()
            peer.posted.clear()
            self._elsewhere.wake()
        return True

    def drop(self, endpoint: EndpointId, reason: LinkRefusal, detail: str) -> None:
        """Close a link that is not the endpoint's any more, without a word on record."""
        peer = self._peers.get(endpoint)
        if peer is not None and peer.link is not None:
            peer.link.refuse(reason, detail)
            self.detach(endpoint, peer.link)

    def acknowledged(self, peer: Peer, message: MessageId) -> None:
        """An endpoint has what it was sent."""
        peer.outbox.acknowledged(message)
        if message in peer.posted and self._elsewhere is not None:
            peer.posted.discard(message)
            self._elsewhere.acknowledged(message)

    def deliver(self, endpoint: EndpointId, message: Message) -> None:
        """Send what was posted to an endpoint that is linked here, once on each link."""
        peer = self._peers.get(endpoint)
        if peer is None or peer.link is None or message.id in peer.posted:
            return
        try:
            peer.outbox.add(message.id, message.body)
        except OutboxFullError:
            return  # it stays in the letter box
        peer.posted.add(message.id)
        peer.link.transmit(Message(message.id, self._now_ms(), message.body))

    def send(self, endpoint: EndpointId, body: Body) -> None:
        """Deliver a body at least once, now or when the endpoint is back."""
        peer = self._peer(endpoint)
        message = MessageId(new_id("msg"))
        if peer.link is None and self._elsewhere is not None:
            self._elsewhere.post(endpoint, Message(message, self._now_ms(), body))
            return
        try:
            peer.outbox.add(message, body)
        except OutboxFullError:
            # Reconciliation on the next link restores what the dropped messages would have said.
            self._log.warning(OUTBOX_DROPPED, endpoint=endpoint, messages=len(peer.outbox))
            peer.outbox = Outbox()
            peer.posted.clear()
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
        return self.gone_since_ms(endpoint) is None

    def linked(self) -> Iterator[EndpointId]:
        """Who is linked here."""
        return iter([e for e, peer in self._peers.items() if peer.link is not None])

    def claim_of(self, endpoint: EndpointId) -> int | None:
        """The number of an endpoint's link here; None: it has none here."""
        peer = self._peers.get(endpoint)
        return peer.claim if peer is not None and peer.link is not None else None

    def gone_since_ms(self, endpoint: EndpointId) -> int | None:
        """Since when an endpoint has no link; None while it has. Before our start nobody had."""
        peer = self._peers.get(endpoint)
        if peer is not None and peer.link is not None:
            return None
        place = self._elsewhere.place_of(endpoint) if self._elsewhere is not None else None
        if place is not None:
            return place.gone_ms
        return peer.gone_since_ms if peer is not None else self._started_ms

    def access_of(self, gateway: EndpointId) -> AccessMode | None:
        """The switch of a gateway as told on its open link; None: offline, or not told yet."""
        state = self.state_of(gateway)
        return state.access if state is not None else None

    def software_of(self, endpoint: EndpointId) -> str | None:
        """The version of an endpoint as told on its open link; None while it has none."""
        peer = self._peers.get(endpoint)
        if peer is not None and peer.link is not None:
            return peer.link.software or None
        place = self._elsewhere.place_of(endpoint) if self._elsewhere is not None else None
        return place.software or None if place is not None and place.instance is not None else None

    def note_state(self, gateway: EndpointId, state: GatewayState) -> None:
        """Remember what a gateway said about itself, for as long as its link is open."""
        peer = self._peer(gateway)
        if peer.link is not None:
            peer.state = state

    def state_of(self, gateway: EndpointId) -> GatewayState | None:
        peer = self._peers.get(gateway)
        if peer is not None and peer.link is not None:
            return peer.state
        place = self._elsewhere.place_of(gateway) if self._elsewhere is not None else None
        return place.state if place is not None and place.instance is not None else None

    def _peer(self, endpoint: EndpointId) -> Peer:
        return self._peers.setdefault(endpoint, Peer(self._started_ms))
