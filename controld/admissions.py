"""Admissions to relays, one per relay and end, for exactly as long as the lease; their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.runtime.errors import ConfigError
from rclib.wire.admission import Admission, Revocation, key_id_of, load_key, mint
from rclib.wire.control import RelayLeg, StunServer
from rclib.wire.errors import DecodeError
from rclib.wire.link import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from controld.config import RelayConfig
    from rclib.runtime.secret import SecretBytes
    from rclib.wire.identity import Side
    from rclib.wire.ids import IdentityKey, RelayId, SessionId


class Admissions:
    """Mints the tokens of both ends; raises ConfigError for a key that cannot sign."""

    def __init__(
        self,
        token_key: SecretBytes,
        relays: Sequence[RelayConfig],
        stun: tuple[StunServer, ...] = (),
    ) -> None:
        try:
            self._key = load_key(token_key.reveal())
        except DecodeError as exc:
            raise ConfigError(str(exc), key="token_key") from None
        if not self._key.is_private:
            raise ConfigError(
                "this is the public half; controld signs with the private one (token-key.pem)",
                key="token_key",
            )
        self.key_id = key_id_of(self._key)
        self._relays = tuple(relays)
        self.stun = stun
        """What both ends of a session are told to ask for their own addresses."""

    @property
    def has_relay(self) -> bool:
        return bool(self._relays)

    @property
    def regions(self) -> tuple[Region, ...]:
        """Each with its first relay, in the order of the configuration."""
        firsts = {relay.region: relay.urls[0] for relay in reversed(self._relays)}
        order = dict.fromkeys(relay.region for relay in self._relays)
        return tuple(Region(name, firsts[name]) for name in order)

    def legs(
        self,
        session: SessionId,
        side: Side,
        key: IdentityKey,
        *,
        region: str,
        now_ms: int,
        until_ms: int,
    ) -> tuple[RelayLeg, ...]:
        """The legs one end may open; `key` is the identity it will have to prove.

        A region that is no longer configured leaves all relays.
        """
        relays = [relay for relay in self._relays if relay.region == region] or self._relays
        return tuple(
            RelayLeg(
                relay=relay.id,
                url=relay.url_of(session),
                token=mint(
                    Admission(
                        sub=session,
                        side=side,
                        key=key,
                        aud=relay.id,
                        iat=now_ms // 1000,
                        exp=until_ms // 1000,
                    ),
                    self._key,
                    self.key_id,
                ),
                region=relay.region,
            )
            for relay in relays
        )

    def addresses(self) -> Iterator[tuple[RelayId, str]]:
        """Where legs may have been opened."""
        for relay in self._relays:
            for url in relay.urls:
                yield relay.id, url

    def revocation(self, session: SessionId, relay: RelayId, now_s: int, until_s: int) -> str:
        """Sign that a session is over at one relay. Times are UTC seconds."""
        return mint(Revocation(session, relay, now_s, until_s), self._key, self.key_id)
