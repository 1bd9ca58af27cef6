from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ams.door import Door, Knock, password_path
from ams.limits import PER_ADDRESS
from ams.passwords import UNREADABLE, PasswordFile
from rclib.runtime.logs import get_logger
from tests.ams.conftest import CHEAP, PASSWORD

if TYPE_CHECKING:
    from pathlib import Path


def door(directory: Path) -> Door:
    return Door(directory, get_logger("ams"), PasswordFile(password_path(directory), CHEAP))


async def test_of_many_first_visitors_one_sets_the_password(tmp_path: Path) -> None:
    page = door(tmp_path)
    done = await asyncio.gather(*(page.set_first(f"{PASSWORD}{n}") for n in range(20)))
    assert done.count(True) == 1
    winner = done.index(True)
    assert (await page.knock(f"{PASSWORD}{winner}", "a")).knock is Knock.OPENED


async def test_parallel_guesses_count_one_by_one(tmp_path: Path) -> None:
    page = door(tmp_path)
    await page.set_first(PASSWORD)
    answers = await asyncio.gather(*(page.knock(f"guess{n}", "a") for n in range(50)))
    looked_at = [each for each in answers if each.knock is Knock.WRONG]
    assert len(looked_at) == PER_ADDRESS
    assert (await page.knock(PASSWORD, "a")).knock is Knock.TOO_SOON


async def test_tries_survive_a_restart(tmp_path: Path) -> None:
    page = door(tmp_path)
    await page.set_first(PASSWORD)
    for _ in range(PER_ADDRESS):
        await page.knock("guess", "a")
    answer = await door(tmp_path).knock(PASSWORD, "a")
    assert answer.knock is Knock.TOO_SOON
    assert answer.wait_s > 0


async def test_a_spoiled_count_is_logged_and_does_not_lock_the_page(tmp_path: Path) -> None:
    page = door(tmp_path)
    await page.set_first(PASSWORD)
    (tmp_path / "tries.json").write_bytes(b"\x00spoiled")
    assert (await door(tmp_path).knock(PASSWORD, "a")).knock is Knock.OPENED


async def test_a_password_file_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    password_path(tmp_path).mkdir(parents=True)
    page = door(tmp_path)
    assert await page.generation() == UNREADABLE
    assert not await page.set_first(PASSWORD)
    assert (await page.knock(PASSWORD, "a")).knock is Knock.WRONG


async def test_resetting_the_password_is_another_generation(tmp_path: Path) -> None:
    page = door(tmp_path)
    await page.set_first(PASSWORD)
    before = await page.generation()
    assert PasswordFile(password_path(tmp_path)).remove()
    assert await page.generation() is None
    await page.set_first(PASSWORD)
    assert await page.generation() != before
