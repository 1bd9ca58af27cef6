"""Both ends of sessions as controld sees them: real control links with the least behind them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.tunnel.control_link import ControlLink, LinkSettings
from rclib.tunnel.enrolment import Enrolment, Identity
from rclib.tunnel.uplink import open_uplink
from rclib.wire.access import AccessMode
from rclib.wire.control import GatewayState, SessionAnswer, SessionGrant, SessionOffer, TicketRedeem
from rclib.wire.identity import answer_key_statement, offer_key_statement
from rclib.wire.ids import TunnelKey

if TYPE_CHECKING:
    from pathlib import Path

    from rclib.tunnel.control_link import LinkHandler
    from rclib.wire.control import Body
    from rclib.wire.ids import EndpointId
    from rclib.wire.link import LinkWelcome

HOST: Final = "localhost"
LOG: Final = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))


@dataclass(frozen=True, slots=True)
class Plant:
    """Where controld is, and who vouches for it."""

    server: str
    ca: Path


def identity_of(name: str) -> Identity:
    return Identity(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


class Gateway:
    """Answers every offer at once; the plant is ON."""

    def __init__(self, plant: Plant, endpoint: EndpointId, name: str) -> None:
        self._identity = identity_of(name)
        self.is_told = asyncio.Event()
        self.link = _link(plant, endpoint, self._identity, self)

    def link_up(self, welcome: LinkWelcome) -> None:
        del welcome
        self.link.send(GatewayState(AccessMode.ON))

    def link_down(self, detail: str) -> None: ...

    def link_acked(self, body: Body) -> None:
        if isinstance(body, GatewayState):
            self.is_told.set()

    def link_body(self, body: Body, sent_ms: int) -> None:
        del sent_ms
        if isinstance(body, SessionOffer):
            key = TunnelKey(bytes(32))
            peer = body.peer
            signed = answer_key_statement(body.session, key, peer.identity_key, peer.tunnel_key)
            self.link.send(SessionAnswer(body.session, key, self._identity.sign(signed)))


class Technician:
    """Redeems tickets; the time of each grant is kept."""

    def __init__(self, plant: Plant, endpoint: EndpointId) -> None:
        self._identity = identity_of("laptop")
        self.link = _link(plant, endpoint, self._identity, self)
        self.is_told = asyncio.Event()
        self.grants: dict[str, asyncio.Future[float]] = {}

    def redeem(self, session: Any, ticket: str) -> None:  # noqa: ANN401 -- a SessionId
        key = TunnelKey(bytes(32))
        signature = self._identity.sign(offer_key_statement(session, key))
        self.link.send(TicketRedeem(session, ticket, key, signature))

    def link_up(self, welcome: LinkWelcome) -> None:
        del welcome
        self.is_told.set()

    def link_down(self, detail: str) -> None: ...
    def link_acked(self, body: Body) -> None: ...

    def link_body(self, body: Body, sent_ms: int) -> None:
        del sent_ms
        if isinstance(body, SessionGrant):
            self.grants[body.session].set_result(time.perf_counter())


def _link(
    plant: Plant, endpoint: EndpointId, identity: Identity, handler: LinkHandler
) -> ControlLink:
    enrolment = Enrolment(plant.server, endpoint, "bench", "bench", HOST)
    return ControlLink(LinkSettings(enrolment, identity, open_uplink(str(plant.ca))), handler, LOG)
