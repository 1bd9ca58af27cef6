"""T26: names on a day without DNS."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from rclib.tunnel import name_lookup
from rclib.tunnel.book_resolver import BookResolver
from rclib.tunnel.name_lookup import AddressBook, Dial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "control.example"
RIGHT, WRONG = "192.0.2.1", "198.51.100.1"
LOOKUP_S, SILENT_S = 0.5, 2.0
MAX_LAG_S = 1.0
"""A loop that waited for the resolver itself would stand for SILENT_S."""


class Resolver:
    """In place of the system's: what it says is set by the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.says: list[str] | None = []
        """None: nothing for a long time, in a thread that nobody can stop."""
        self.asked = 0
        self._loop = loop

    async def getaddrinfo(self, host: str, *_: object, **__: object) -> list[Any]:
        self.asked += 1
        assert host == NAME
        return await self._loop.run_in_executor(None, self._blocking)

    def _blocking(self) -> list[Any]:
        if self.says is None:
            time.sleep(SILENT_S)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if not self.says:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in self.says]


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    loop = asyncio.get_running_loop()
    made = Resolver(loop)
    monkeypatch.setattr(loop, "getaddrinfo", made.getaddrinfo, raising=False)
    monkeypatch.setattr(name_lookup, "LOOKUP_S", LOOKUP_S)
    return made


async def test_what_the_resolver_says_is_tried_first(resolver: Resolver) -> None:
    book = AddressBook()
    resolver.says = [RIGHT]
    assert await book.lookup(NAME) == [RIGHT]
    book.led_right(NAME, RIGHT)
    resolver.says = [WRONG]
    assert await book.lookup(NAME) == [WRONG, RIGHT]


async def test_t26_a_name_nobody_knows_any_more_is_where_it_was(resolver: Resolver) -> None:
    book = AddressBook()
    book.led_right(NAME, RIGHT)
    assert await book.lookup(NAME) == [RIGHT]
    assert resolver.asked == 1


async def test_t26_a_silent_resolver_costs_seconds_and_holds_nobody_up(resolver: Resolver) -> None:
    book = AddressBook()
    book.led_right(NAME, RIGHT)
    resolver.says = None
    worst, last = 0.0, time.monotonic()
    lookups = asyncio.gather(*(book.lookup(NAME) for _ in range(20)))
    while not lookups.done():
        await asyncio.sleep(0.01)
        worst, last = max(worst, time.monotonic() - last), time.monotonic()
    assert set(map(tuple, await lookups)) == {(RIGHT,)}
    assert worst <= MAX_LAG_S
    assert resolver.asked == 1  # one thread waits, not twenty


async def test_t26_without_a_memory_the_refusal_says_what_is_wrong(resolver: Resolver) -> None:
    with pytest.raises(OSError, match=r"control\.example cannot be resolved: Name or service"):
        await AddressBook().lookup(NAME)
    resolver.says = None
    with pytest.raises(OSError, match=r"no answer from the resolver for control\.example"):
        await AddressBook().lookup(NAME)


async def test_t26_an_address_that_led_wrong_comes_last(resolver: Resolver) -> None:
    book = AddressBook()
    resolver.says = [WRONG]
    book.led_wrong(NAME, WRONG)  # says nothing while there is no better one
    assert await book.lookup(NAME) == [WRONG]
    book.led_right(NAME, RIGHT)
    book.led_wrong(NAME, WRONG)
    assert await book.lookup(NAME) == [RIGHT, WRONG]
    book.led_right(NAME, WRONG)  # the server has moved there
    resolver.says = [RIGHT]
    assert await book.lookup(NAME) == [RIGHT, WRONG]


async def test_an_address_is_no_name(resolver: Resolver) -> None:
    book = AddressBook()
    assert await book.lookup(RIGHT) == [RIGHT]
    assert await book.lookup("2001:db8::1") == ["2001:db8::1"]
    assert resolver.asked == 0


async def test_aiohttp_is_told_addresses_of_the_family_it_wants(resolver: Resolver) -> None:
    book = AddressBook()
    resolver.says = [RIGHT]
    book.led_right(NAME, "2001:db8::1")
    (four, six) = await BookResolver(book).resolve(NAME, 443)
    assert (four["host"], four["port"], four["family"]) == (RIGHT, 443, socket.AF_INET)
    assert (six["host"], six["family"]) == ("2001:db8::1", socket.AF_INET6)
    (only,) = await BookResolver(book).resolve(NAME, 443, socket.AF_INET)
    assert only["host"] == RIGHT


@pytest.fixture
def listener() -> Iterator[Callable[[str], int]]:
    opened: list[socket.socket] = []

    def listen(address: str) -> int:
        made = socket.create_server((address, 0))
        opened.append(made)
        return int(made.getsockname()[1])

    yield listen
    for each in opened:
        each.close()


async def test_a_dial_goes_on_to_the_next_address_and_remembers_the_right_one(
    resolver: Resolver, listener: Callable[[str], int]
) -> None:
    book = AddressBook()
    port = listener("127.0.0.2")
    resolver.says = ["127.0.0.1", "127.0.0.2"]  # nobody listens at the first
    dial = Dial(book)
    (await dial.connect(NAME, port)).close()
    dial.led_right()
    resolver.says = []
    again = Dial(book)
    made = await again.connect(NAME, port)
    assert made.getpeername()[0] == "127.0.0.2"
    made.close()


async def test_the_book_does_not_grow_without_end() -> None:
    book = AddressBook()
    for number in range(1000):
        book.led_right(f"{number}.example", RIGHT)
    assert book.order("1.example", []) == [RIGHT]
    assert book.order("999.example", []) == []
