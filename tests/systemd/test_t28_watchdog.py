"""T28 watchdog: what hangs or ends is started anew, for ever, and the gate is shut meanwhile.

By systemd itself, with the units as they are shipped.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

import pytest

from rclib.runtime.health import STALE_AFTER_S
from rclib.tunnel.gate_client import GateClient
from rclib.wire.gate import Allow, Open
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import Protocol
from testbed.service_manager import DAEMONS
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from testbed.service_manager import ServiceManager

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

START_S: Final = 30.0
TRIES_S: Final = 120.0
"""TRIES starts of a Python program, and the pauses between them."""
TRIES: Final = 6
"""More than the five after which systemd gives up unless it is told otherwise."""
WATCHDOG_S: Final = int(STALE_AFTER_S)
RESTART_S: Final = 5.0
"""Allowed on top of WatchdogSec=."""
HANG: Final = signal.SIGUSR1
"""What testbed.service_manager's programs take as a call that never returns."""
GATE_TOML: Final = "/etc/remoteconnect/gate.toml"
GATE_SOCKET: Final = "run/remoteconnect/rcd-gate/gate.sock"
OPENED: Final = Open(
    SessionId(f"ses_{'a' * 16}"),
    TunnelKey(bytes(32)),
    "100.64.9.1",
    "100.64.9.2",
    9,
    (Allow("192.168.1.10", Protocol.TCP, 502),),
    1280,
)


def fed_at(manager: ServiceManager) -> dict[str, float]:
    """When each daemon last gave a sign of life, in seconds of CLOCK_MONOTONIC; 0: never."""
    shown = manager.show_all(DAEMONS, "WatchdogTimestampMonotonic")
    return {each: int(found["WatchdogTimestampMonotonic"]) / 1e6 for each, found in shown.items()}


def leftovers(manager: ServiceManager, interface: str) -> list[str]:
    """What of an open session is there: rules, interface, forwarding."""
    links = manager.run("ip", "-o", "link").stdout
    forwarding = manager.run("cat", "/proc/sys/net/ipv4/conf/lan0/forwarding").stdout
    found = {
        "rules": "rcd_gate" in manager.run("nft", "list", "tables").stdout,
        "interface": interface in links,
        "forwarding": forwarding.strip() != "0",
    }
    return [name for name, is_there in found.items() if is_there]


def restarts(manager: ServiceManager, unit: str) -> int:
    return int(manager.show(unit, "NRestarts")["NRestarts"])


def is_active(manager: ServiceManager, unit: str) -> bool:
    return manager.show(unit, "ActiveState")["ActiveState"] == "active"


def signal_and_await_restart(manager: ServiceManager, number: signal.Signals) -> None:
    """All daemons at once, since each takes its whole WatchdogSec=."""
    before = time.monotonic()
    manager.systemctl("kill", "--kill-who=main", f"--signal={number.name}", *DAEMONS)
    signalled_at = time.monotonic()

    def started_anew() -> dict[str, float] | None:
        name = "ExecMainStartTimestampMonotonic"
        shown = manager.show_all(DAEMONS, "ActiveState", name)
        started = {each: int(found[name]) / 1e6 for each, found in shown.items()}
        if any(each["ActiveState"] != "active" for each in shown.values()):
            return None
        if min(started.values()) < before:
            return None
        return {each: at - signalled_at for each, at in started.items()}

    after_s = until(started_anew, WATCHDOG_S + START_S, "all daemons to be started anew")
    assert max(after_s.values()) <= (WATCHDOG_S + RESTART_S) * SLOWNESS, after_s
    for each in DAEMONS:
        assert "Watchdog timeout" in manager.journal(each)


def test_each_daemon_starts_as_shipped_and_feeds_its_watchdog_twice_per_period(
    running: ServiceManager,
) -> None:
    names = ("Restart", "RestartUSec", "StartLimitIntervalUSec", "WatchdogUSec")
    wanted = dict(zip(names, ("always", "2s", "0", f"{WATCHDOG_S}s"), strict=True))
    assert running.show_all(DAEMONS, *names) == dict.fromkeys(DAEMONS, wanted)
    first = fed_at(running)
    longest = dict.fromkeys(DAEMONS, 0.0)

    def all_fed_again() -> bool:
        fed, now = fed_at(running), time.monotonic()
        for each in DAEMONS:
            longest[each] = max(longest[each], now - fed[each])
        return all(fed[each] > first[each] > 0 for each in DAEMONS)

    until(all_fed_again, WATCHDOG_S / 2, "all daemons to feed their watchdogs")
    assert max(longest.values()) <= WATCHDOG_S / 2 * SLOWNESS, longest


@pytest.mark.slow
def test_a_stopped_process_is_started_anew(running: ServiceManager) -> None:
    signal_and_await_restart(running, signal.SIGSTOP)


@pytest.mark.slow
def test_a_loop_that_hangs_in_one_call_is_started_anew(running: ServiceManager) -> None:
    signal_and_await_restart(running, HANG)


@pytest.mark.slow
async def test_a_gate_that_keeps_ending_is_shut_and_comes_back_by_itself(
    manager: ServiceManager,
) -> None:
    """An open session, a crash, and for a while a configuration with which no start works."""
    manager.systemctl("stop", "rcd")  # the gate obeys one
    manager.start("rcd-gate")
    good = manager.read(GATE_TOML)
    try:
        async with await GateClient.connect(manager.root / GATE_SOCKET) as gate:
            await gate.prepare(OPENED.session)
            interface = (await gate.open(OPENED)).interface
            assert leftovers(manager, interface) == ["rules", "interface", "forwarding"]
            manager.write(GATE_TOML, "no_such_key = 1\n")
            manager.systemctl("kill", "--signal=SIGKILL", "--kill-who=main", "rcd-gate")
        until(lambda: restarts(manager, "rcd-gate") >= TRIES, TRIES_S, f"{TRIES} starts in vain")
        assert leftovers(manager, interface) == []
    finally:
        manager.write(GATE_TOML, good)
    until(lambda: is_active(manager, "rcd-gate"), START_S, "the gate to be back")
