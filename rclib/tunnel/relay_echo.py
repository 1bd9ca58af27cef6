"""ECHO by the relay and its answer: that it is there, how far the other end is, what got lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.wire.path_signal import Echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclib.wire.path_signal import EchoReply, SignalBody

EVERY_S: Final = 15.0
ANSWER_S: Final = 0.8
"""For a relay to bring the answer, when it may be needed soon."""


class RelayEcho:
    """Pure but for `send`. All times on the boot clock."""

    def __init__(self, send: Callable[[SignalBody], bool]) -> None:
        self._send = send
        self.ask_at: float | None = None
        """When `ask` is due."""
        self.answer_by: float | None = None
        """When a relay that is asked counts as gone."""
        self.rtt_s: float | None = None
        self.loss_percent: float | None = None
        """Of WireGuard's bytes of both ends, between the last two answers."""
        self._token, self._asked_at = 0, 0.0
        self._compared: tuple[int, int, int, int] | None = None

    def ask(self, now: float, *, urgently: bool = False) -> None:
        """Ask; `urgently`: the answer is waited for."""
        self.ask_at = now + EVERY_S
        self._token, self._asked_at = self._token + 1, now
        if urgently:
            self.answer_by = now + ANSWER_S
        self._send(Echo(self._token))

    def answered(self, reply: EchoReply, counted: tuple[int, int], now: float) -> None:
        """`counted`: bytes received and sent at this end; the reply has the other end's."""
        if reply.token != self._token:
            return
        self.rtt_s = now - self._asked_at
        self.answer_by = None
        totals = (*counted, reply.received_bytes, reply.sent_bytes)
        if self._compared is not None:
            received, sent, their_received, their_sent = (
                after - before for after, before in zip(totals, self._compared, strict=True)
            )
            if sent + their_sent > 0:
                share = 1 - (received + their_received) / (sent + their_sent)
                self.loss_percent = round(max(0.0, share) * 100, 1)
        self._compared = totals
