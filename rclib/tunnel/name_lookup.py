"""From a server's name to addresses, also on a day without DNS.

A plant's resolver fails more often than the server moves. So the address at which a name last led
to the right server (TLS says which one is) is kept, and tried after what the resolver says now; a
wrong answer costs an attempt, no answer costs LOOKUP_S.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from aiohappyeyeballs import start_connection

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOKUP_S: Final = 3.0
STAGGER_S: Final = 0.25  # RFC 8305, section 5
MAX_NAMES: Final = 64


class AddressBook:
    """What is known of the names this end dials. Lives as long as the process."""

    def __init__(self) -> None:
        self._right: dict[str, str] = {}
        self._wrong: dict[str, set[str]] = {}
        self._under_way: dict[str, asyncio.Task[list[str]]] = {}

    def led_right(self, name: str, address: str) -> None:
        """The server at this address is the one of that name."""
        if name not in self._right and len(self._right) >= MAX_NAMES:
            return
        self._right[name] = address
        self._wrong.pop(name, None)

    def led_wrong(self, name: str, address: str) -> None:
        """Nobody was there, or somebody else: tried last from now on."""
        if name in self._right:
            self._wrong.setdefault(name, set()).add(address)

    def order(self, name: str, found: Iterable[str]) -> list[str]:
        """What to try one after the other, each once."""
        tries = list(dict.fromkeys([*found, *filter(None, [self._right.get(name)])]))
        wrong = self._wrong.get(name, set())
        return sorted(tries, key=lambda address: address in wrong)

    async def lookup(self, name: str) -> list[str]:
        """The addresses to try; raises OSError if neither resolver nor memory knows one."""
        if self.is_address(name):
            return [name]
        why, found = "", list[str]()
        try:
            found = await self.ask_resolver(name)
        except TimeoutError as exc:
            why = str(exc)
        except OSError as exc:
            why = f"{name} cannot be resolved: {exc.strerror or exc}"
        tries = self.order(name, found)
        if not tries:
            raise OSError(why)
        return tries

    @staticmethod
    def is_address(name: str) -> bool:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def ask_resolver(self, name: str) -> list[str]:
        """What the resolver says now; raises TimeoutError after LOOKUP_S, and OSError."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._resolve(name)), LOOKUP_S)
        except TimeoutError:
            why = f"no answer from the resolver for {name} within {LOOKUP_S:g} s"
            raise TimeoutError(why) from None

    def _resolve(self, name: str) -> asyncio.Task[list[str]]:
        """Ask; whoever asks while nobody has answered yet waits for the same answer.

        A question to a dead resolver takes a thread for many seconds and cannot be taken back.
        """
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(_resolve(name))
            self._under_way[name] = task
            task.add_done_callback(lambda _: self._under_way.pop(name, None))
            task.add_done_callback(_look_at)
        return task


class Dial:
    """One attempt to connect by name, and whether it led right."""

    def __init__(self, book: AddressBook) -> None:
        self._book = book
        self._name = self._address = ""

    async def connect(self, name: str, port: int) -> socket.socket:
        """Return a connected socket of the first address that takes one; raises OSError."""
        tries = [
            (family_of(each), socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, port))
            for each in await self._book.lookup(name)
        ]
        made = await start_connection(tries, happy_eyeballs_delay=STAGGER_S)
        self._name, self._address = name, made.getpeername()[0]
        return made

    def led_right(self) -> None:
        if self._name:
            self._book.led_right(self._name, self._address)

    def led_wrong(self) -> None:
        """It was not the right server, or it fell silent."""
        if self._name:
            self._book.led_wrong(self._name, self._address)


def family_of(address: str) -> socket.AddressFamily:
    is_new = ipaddress.ip_address(address).version == 6  # noqa: PLR2004 -- IP versions
    return socket.AF_INET6 if is_new else socket.AF_INET


async def _resolve(name: str) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for *_, address in found]


def _look_at(task: asyncio.Task[list[str]]) -> None:
    """Nobody may be waiting any more; what is never looked at would be complained about."""
    if not task.cancelled():
        task.exception()
