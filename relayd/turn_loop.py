"""The event loop of a relay: connections that bring little are read before those that bring much.

epoll tells of all that can be read at once, and puts what is new behind what was there: beside ten
busy legs the packet of a quiet one waits until those that were told of are read, and then until
they are read once more. Here whoever has used up its share of the loop's time is told of by a
second epoll, one at a time; after TURN_S of that everybody else has a look in. So a quiet leg's
packet waits for that and one read, however many legs are busy (as the new flows of fq_codel do,
RFC 8290, section 4.2).

Time is the CPU time of the loop's thread. By any other clock, legs pay their debts while other
programs have the core: with a quarter of it, each turn of a busy leg was also its change from one
epoll to the other and back.
"""

from __future__ import annotations

import select
from time import thread_time
from typing import TYPE_CHECKING, Final

from rclib.runtime.loop import PlatformLoop
from relayd.shares import Account, Shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import FileDescriptorLike

TURN_S: Final = 100e-6
"""What busy connections get before quiet ones are looked at again; at least one read. A full read
takes longer; with many connections a read brings less, and several share the loop's own cost."""


class _Reader:
    """One connection that is read."""

    __slots__ = ("account", "arguments", "callback", "fd")

    def __init__(
        self, fd: int, callback: Callable[..., object], arguments: tuple[object, ...], now: float
    ) -> None:
        self.fd = fd
        self.callback = callback
        self.arguments = arguments
        self.account = Account(now)


class TurnLoop(PlatformLoop):
    """A loop whose readers take turns; all else is its platform's."""

    def __init__(self, clock: Callable[[], float] = thread_time) -> None:
        super().__init__()
        self._clock = clock
        self._shares = Shares(clock())
        self._readers: dict[int, _Reader] = {}
        self._busy = select.epoll()
        super().add_reader(self._busy.fileno(), self._busy_ready)

    def add_reader(
        self, fd: FileDescriptorLike, callback: Callable[..., object], *args: object
    ) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        self.remove_reader(number)
        reader = _Reader(number, callback, args, self._clock())
        self._readers[number] = reader
        super().add_reader(number, self._quiet_turn, reader)

    def remove_reader(self, fd: FileDescriptorLike) -> bool:  # type: ignore[override] # says uvloop
        number = fd if isinstance(fd, int) else fd.fileno()
        reader = self._readers.pop(number, None)
        if reader is not None and reader.account.is_busy:
            self._busy.unregister(number)
        else:
            super().remove_reader(number)
        return reader is not None

    def close(self) -> None:
        super().close()
        self._busy.close()

    def _read(self, reader: _Reader, began: float) -> float:
        """Let one connection read; returns when that was done. A look at the clock is not cheap."""
        account = reader.account
        was_busy = account.is_busy
        reader.callback(*reader.arguments)
        ended = self._clock()
        if self._readers.get(reader.fd) is reader:
            self._shares.charge(account, ended - began, ended)
            if account.is_busy is not was_busy:
                self._move(reader)
        return ended

    def _move(self, reader: _Reader) -> None:
        if reader.account.is_busy:
            super().remove_reader(reader.fd)
            self._busy.register(reader.fd, select.EPOLLIN)
        else:
            self._busy.unregister(reader.fd)
            super().add_reader(reader.fd, self._quiet_turn, reader)

    def _quiet_turn(self, reader: _Reader) -> None:
        self._read(reader, self._clock())

    def _busy_ready(self) -> None:
        # The kernel tells of it before those whose packet came during the last turn; they go first.
        self.call_soon(self._busy_turn)

    def _busy_turn(self) -> None:
        now = self._clock()
        until = now + TURN_S
        # The kernel puts who was told of behind the others, so they take turns by themselves.
        while now < until and (ready := self._busy.poll(0, 1)):
            now = self._read(self._readers[ready[0][0]], now)
