"""Which connection each of a gate's sessions belongs to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rclib.tunnel.gate_errors import GateRefused
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rclib.runtime.local import Connection
    from rclib.wire.ids import SessionId


class Owners:
    """For a connection, the sessions of others do not exist."""

    def __init__(self) -> None:
        self._owners: dict[SessionId, Connection] = {}

    def of(self, session: SessionId) -> Connection | None:
        return self._owners.get(session)

    def owns(self, connection: Connection, session: SessionId) -> bool:
        return self._owners.get(session) is connection

    def sessions_of(self, connection: Connection) -> tuple[SessionId, ...]:
        return tuple(each for each, owner in self._owners.items() if owner is connection)

    @contextmanager
    def claimed(self, connection: Connection, session: SessionId) -> Iterator[None]:
        """Give a session to a connection, unless what follows fails.

        Raises GateRefused for a session that belongs to another connection.
        """
        is_new = session not in self._owners
        if self._owners.setdefault(session, connection) is not connection:
            raise GateRefused(
                GateError.SESSION_EXISTS, f"another program on this machine has {session}"
            )
        try:
            yield
        except GateRefused:
            if is_new:
                self.forget(session)
            raise

    def check(self, connection: Connection, session: SessionId) -> None:
        """Raises GateRefused for a session that is not this connection's."""
        if not self.owns(connection, session):
            raise GateRefused(GateError.UNKNOWN_SESSION, f"{session} is not open")

    def forget(self, session: SessionId) -> None:
        self._owners.pop(session, None)
