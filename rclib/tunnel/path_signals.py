"""The ends' signed words to each other: by the relay, or else by the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.wire.errors import DecodeError
from rclib.wire.path_signal import Envelope, Numbers, SignalBody, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.runtime.logs import Logger
    from rclib.wire.identity import Side
    from rclib.wire.ids import IdentityKey, SessionId, Signature

SIGNAL_REFUSED = "path_signal_refused"


class PathSignals:
    """One end's half of the conversation."""

    def __init__(
        self,
        session: SessionId,
        side: Side,
        *,
        peer: IdentityKey,
        sign: Callable[[bytes], Signature],
        ways: tuple[Callable[[bytes], bool], ...],
        on_signal: Callable[[SignalBody], None],
        log: Logger,
    ) -> None:
        """Each of `ways` sends, or says with False that it cannot now; the first that can does."""
        self._session = session
        self._side = side
        self._peer = peer
        self._sign = sign
        self._ways = ways
        self._on_signal = on_signal
        self._log = log
        self._number = 0
        self._numbers = Numbers()
        self._refused = 0

    def send(self, body: SignalBody) -> bool:
        """False: nobody can carry it now."""
        self._number += 1
        sealed = seal(self._session, self._side, Envelope(self._number, body), self._sign)
        return any(way(sealed) for way in self._ways)

    def received(self, data: bytes) -> None:
        """Take what came in, by whichever way; what is not the peer's is counted and dropped."""
        try:
            envelope = unseal(self._session, self._side.other, self._peer, data)
        except DecodeError as exc:
            self._refused += 1
            if self._refused == 1:
                self._log.warning(SIGNAL_REFUSED, reason=str(exc))
            return
        if self._numbers.is_new(envelope.number):
            self._on_signal(envelope.body)
