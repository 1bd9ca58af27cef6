"""How often a password may be tried. Pure: the boot clock comes in, nothing else.

Three allowances, each a sliding window, so that a wait is exact and always ends:

- 5 tries a minute from one address;
- 20 tries an hour from all addresses that never logged in, together, however many there are;
- 20 tries an hour from each of the few addresses that did log in lately. Without this one, a
  stranger in the plant network who keeps guessing would keep the owner away from OFF.

A try that is refused does not count: hammering makes nobody wait longer.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

PER_ADDRESS: Final = 5
PER_ADDRESS_S: Final = 60.0
PER_HOUR: Final = 20
HOUR_S: Final = 3600.0
KNOWN_S: Final = 30 * 24 * 3600.0
MAX_KNOWN: Final = 4
"""Addresses with an allowance of their own; the one that logged in longest ago gives way."""

Address = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Age = Annotated[float, msgspec.Meta(ge=0)]


class Past(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something an address did, and how many seconds ago."""

    address: Address
    age_s: Age


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What survives a restart. Ages instead of times: the boot clock starts anew."""

    saved_ms: int = 0
    """UTC."""
    tries: Annotated[tuple[Past, ...], msgspec.Meta(max_length=1000)] = ()
    known: Annotated[tuple[Past, ...], msgspec.Meta(max_length=MAX_KNOWN)] = ()


class Limits:
    """Decides when an address may try next."""

    def __init__(self) -> None:
        self._tries: list[tuple[str, float]] = []  # oldest first
        self._known: dict[str, float] = {}  # address -> its latest login

    def wait_s(self, address: str, now: float) -> float:
        """Seconds until this address may try; 0: now."""
        self._forget(now)
        own = [at for source, at in self._tries if source == address]
        shared = (
            own
            if address in self._known
            else [at for source, at in self._tries if source not in self._known]
        )
        free_at = max(
            own[-PER_ADDRESS] + PER_ADDRESS_S if len(own) >= PER_ADDRESS else now,
            shared[-PER_HOUR] + HOUR_S if len(shared) >= PER_HOUR else now,
        )
        return max(0.0, free_at - now)

    def tried(self, address: str, now: float) -> None:
        """Count a try, before its password is looked at."""
        self._tries.append((address, now))

    def succeeded(self, address: str, now: float) -> None:
        """The right password: this address's typing errors are forgiven, and it is known."""
        self._tries = [each for each in self._tries if each[0] != address]
        self._known.pop(address, None)
        if len(self._known) >= MAX_KNOWN:
            del self._known[min(self._known, key=lambda each: self._known[each])]
        self._known[address] = now

    def forget_known(self) -> None:
        """After a change of the password nobody has shown the new one yet."""
        self._known.clear()

    def dump(self, now: float, wall_ms: int) -> Record:
        self._forget(now)
        return Record(
            saved_ms=wall_ms,
            tries=tuple(Past(address, max(0.0, now - at)) for address, at in self._tries),
            known=tuple(Past(address, max(0.0, now - at)) for address, at in self._known.items()),
        )

    def restore(self, record: Record, now: float, wall_ms: int) -> None:
        """Continue where `dump` left off; a wall clock set back counts as no time gone by."""
        gone_s = max(0, wall_ms - record.saved_ms) / 1000
        self._tries = sorted(
            ((past.address, now - past.age_s - gone_s) for past in record.tries),
            key=lambda each: each[1],
        )
        self._known = {past.address: now - past.age_s - gone_s for past in record.known}
        self._forget(now)

    def _forget(self, now: float) -> None:
        self._tries = [each for each in self._tries if now - each[1] < HOUR_S]
        self._known = {each: at for each, at in self._known.items() if now - at < KNOWN_S}
