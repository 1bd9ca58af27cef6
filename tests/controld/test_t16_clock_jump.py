"""T16 clock jump: the machine's clock is set while controld runs, or is lost at a boot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from controld import store_users
from controld.store_offline import write_offline
from controld.store_url import SqliteFile
from testbed.api_client import ApiClient, ApiError
from testbed.wall_clock import BOOT_WITHOUT_BATTERY, DAY_S, HOUR_S, WallClock, why_not
from tests.controld.world import CHEAP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from controld.store import Tx

PASSWORD = "correct horse battery 1"


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return WallClock(tmp_path / "clock")


@contextmanager
def controld(data: Path, clock: WallClock) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "controld", "--config", str(data / "controld.toml")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **clock.environment},
    ) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    """Wait until it serves."""
    assert process.stderr is not None
    for line in process.stderr:
        ready = re.search(r"serving on 127\.0\.0\.1:(\d+)", line)
        if ready is not None:
            return int(ready[1])
    raise AssertionError("controld ended")


@pytest.fixture
def known(data: Path) -> None:
    """The administrator has a password, hashed at a test's price."""

    def work(tx: Tx) -> None:
        admin = store_users.find_user_by_name(tx, "admin")
        assert admin is not None
        store_users.set_password(tx, admin.id, CHEAP.hash_now(PASSWORD), must_change=False)

    write_offline(SqliteFile(data / "controld.db"), work)


@pytest.fixture
def running(data: Path, known: None, clock: WallClock) -> Iterator[int]:
    """The port of a controld whose clock is `clock`."""
    with controld(data, clock) as process:
        try:
            yield port_of(process)
        finally:
            process.terminate()
            process.communicate(timeout=20)
    assert process.returncode == 0


def test_what_is_over_stays_over_and_the_record_keeps_its_order(
    data: Path, clock: WallClock, running: int
) -> None:
    anyone = ApiClient(running, "localhost", data / "tls/ca.pem")
    old = anyone.login("admin", PASSWORD)
    clock.set_off(3 * HOUR_S)
    with pytest.raises(ApiError, match="401"):
        old.get("/api/v1/gateways")
    new = anyone.login("admin", PASSWORD)
    new.post("/api/v1/gateways", {"name": "press 1"})
    clock.set_off(-2 * DAY_S)
    with pytest.raises(ApiError, match="401"):
        old.get("/api/v1/gateways")
    new.post("/api/v1/gateways", {"name": "press 2"})
    clock.set(BOOT_WITHOUT_BATTERY)
    with pytest.raises(ApiError, match="401"):
        old.get("/api/v1/gateways")
    new.post("/api/v1/gateways", {"name": "press 3"})
    records = new.get("/api/v1/audit?limit=1000")["records"]
    seqs = [each["seq"] for each in records]
    assert seqs == sorted(seqs)
    times = [each["at_ms"] for each in records]
    assert times == sorted(times)
    assert sum(each["action"] == "gateway_created" for each in records) == 3


def test_a_clock_that_lost_its_time_starts_nothing_and_says_what_to_do(
    data: Path, clock: WallClock
) -> None:
    clock.set(BOOT_WITHOUT_BATTERY)
    with controld(data, clock) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "clock says 1970-01-01" in said
    assert "timedatectl" in said
    assert "Traceback" not in said
    with (data / "controld.toml").open("a") as config:
        config.write("[times]\nclock_back_s = 9999999999\n")
    with controld(data, clock) as process:
        assert port_of(process)
        process.terminate()
        process.communicate(timeout=20)


def test_a_computer_that_boots_in_1970_says_why_it_reaches_nobody(
    data: Path, clock: WallClock, running: int, tmp_path: Path
) -> None:
    config = tmp_path / "rcc.toml"
    config.write_text(f'state_dir = "{tmp_path}/rcc"\nca_file = "{data}/tls/ca.pem"\n')
    own = WallClock(tmp_path / "own-clock")
    own.set(BOOT_WITHOUT_BATTERY)
    server, code = f"https://localhost:{running}", "ABCD-EFGH-JKLM-NPQR"
    done = subprocess.run(
        [*(sys.executable, "-m", "rcc", "--config", str(config)), "enroll", server, code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **own.environment},
    )
    assert done.returncode != 0
    assert "this machine's clock says 1970-01-01" in done.stderr
    assert "Traceback" not in done.stderr
