"""T17, controld's part: a full disk opens nothing, ends nothing, and is over when it is over."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from controld import store_audit
from controld.audit_chain import verify_chain
from controld.store import StoreUnavailableError
from controld.store_audit import Wanted
from controld.store_offline import read_offline
from controld.store_sessions import get_session
from controld.store_url import SqliteFile
from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.control import AuditBatch, AuditHead, LeaseRenewal, SessionProgress
from rclib.wire.link import LinkRefused, Message
from rclib.wire.session import PathKind
from tests.controld.world import make_rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.controld.world import Rig, World

SIZE_KB = 2048

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system takes root")


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Iterator[Path]:
    """The data directory on a file system with room for little more than it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(disk)], check=True
    )
    try:
        yield shutil.copytree(template, disk / "data")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
async def rig(world: World) -> AsyncIterator[Rig]:
    made = await make_rig(world)
    yield made
    await made.hang_up()


def fill(directory: Path) -> Path:
    """Take every free byte."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(directory).free == 0
    return ballast


async def refusal(rig: Rig, path: str) -> int:
    """Ask until the database's own reserve is used up, too; returns the last status."""
    for _ in range(100):
        answer = await rig.technician("POST", f"/sessions/{path}/start")
        if answer.status != 200:
            break
    assert answer.code == "store_unavailable"
    return answer.status


async def test_t17_without_a_durable_row_nothing_starts_and_nothing_is_extended(rig: Rig) -> None:
    _, grant = await rig.granted()
    await rig.gateway.say(SessionProgress(rig.session, PathKind.RELAY))
    (user,) = (await rig.world.state(rig.session))["users"]
    second = await rig.world.session(rig.gateway, user)
    ballast = fill(rig.world.directory)
    assert await refusal(rig, second) == 503

    rig.world.clock.advance(400)  # the lease of 600 s is due to be renewed
    with pytest.raises(StoreUnavailableError, match="full"):
        await rig.world.server.sweeper.sweep()
    assert (await rig.world.state(rig.session))["state"] == "active"
    assert not any(isinstance(each.body, LeaseRenewal) for each in rig.client.heard)
    assert await lease_of(rig) == grant.lease_until_ms  # it goes on, and no longer

    rows = len((await rig.world.admin.ok("GET", "/audit?limit=1000"))["records"])
    ballast.unlink()
    assert (await rig.technician("POST", f"/sessions/{second}/start")).status == 200
    await rig.world.server.sweeper.sweep()
    assert (await rig.client.expect(LeaseRenewal)).lease_until_ms > grant.lease_until_ms
    after = len((await rig.world.admin.ok("GET", "/audit?limit=1000"))["records"])
    assert after == rows + 1  # the start; nothing of what was refused


async def lease_of(rig: Rig) -> int:
    store = rig.world.server.services.store
    found = await store.read(lambda tx: get_session(tx, rig.session))
    return found.lease_until_ms or 0


async def test_t17_what_is_not_stored_is_not_acknowledged_and_comes_again(rig: Rig) -> None:
    batch = AuditBatch((AuditEvent(1, 1, AuditAction.GATEWAY_STARTED),))
    ballast = fill(rig.world.directory)
    assert await refusal(rig, rig.session) == 503
    await rig.gateway.put_body(batch)
    while isinstance(frame := await rig.gateway.any_frame(), Message):
        assert isinstance(frame.body, AuditHead)  # of the time before
    assert isinstance(frame, LinkRefused)  # no Ack
    assert await rig.gateway.closed()
    ballast.unlink()
    await rig.gateway.link()
    await rig.gateway.say(batch)
    assert (await rig.world.actions()).count("gateway_started") == 1


async def test_t17_the_database_is_whole_afterwards(
    open_world: Callable[..., Any], data: Path
) -> None:
    async with open_world() as world:
        rig = await make_rig(world)
        ballast = fill(data)
        assert await refusal(rig, rig.session) == 503
        await rig.hang_up()
    ballast.unlink()
    file = SqliteFile(data / "controld.db")
    verdict = read_offline(file, lambda tx: verify_chain(store_audit.each_row(tx, Wanted())))
    assert verdict.fault is None
    check = "PRAGMA integrity_check"
    assert read_offline(file, lambda tx: tx.exec_driver_sql(check).scalar()) == "ok"
