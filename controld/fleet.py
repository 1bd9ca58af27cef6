"""What serving one database alone, or together with other controlds, comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from controld.link_hub import Hub, Link, Peer
    from controld.records import LinkIdentity
    from controld.store import Tx
    from rclib.wire.control import GatewayState
    from rclib.wire.ids import EndpointId


class Fleet(Protocol):
    """All controlds on this database, of which this is one."""

    @property
    def hub(self) -> Hub:
        """The endpoints, wherever they are linked."""

    @property
    def is_alone(self) -> bool:
        """Whether nobody else serves it now."""

    @property
    def is_first(self) -> bool:
        """Whether what only one may do falls to this one."""

    async def attach(self, identity: LinkIdentity, link: Link) -> tuple[LinkIdentity, Peer]:
        """Make `link` the endpoint's one link, wherever it was linked before.

        Raises RefusedError, StoreUnavailableError.
        """

    def check(self, tx: Tx, sender: LinkIdentity) -> None:
        """Raise SupersededError if the sender's link is not the endpoint's any more."""

    def keep_state(self, tx: Tx, sender: LinkIdentity, state: GatewayState) -> None:
        """A gateway has said this about itself."""

    def shut(self, tx: Tx, endpoint: EndpointId, why: str) -> None:
        """Void an endpoint's link at another instance; the own one is for the hub to close."""


class Alone:
    """One process on one SQLite file, whose lock keeps others away."""

    is_alone = True
    is_first = True

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def attach(self, identity: LinkIdentity, link: Link) -> tuple[LinkIdentity, Peer]:
        return identity, self.hub.attach(identity, link)

    def check(self, tx: Tx, sender: LinkIdentity) -> None:
        """The hub's own links are all there are."""

    def keep_state(self, tx: Tx, sender: LinkIdentity, state: GatewayState) -> None:
        """The hub remembers it."""

    def shut(self, tx: Tx, endpoint: EndpointId, why: str) -> None:
        """There is no other instance."""
