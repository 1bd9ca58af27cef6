"""What controld does: durable audit rows a second, time from Start to grant, and a long list.

`make bench-controld`. Rows by group commit and one by one, each on disk (synchronous=FULL) before
it counts; starts and lists as `bench.controld_fleet` says. With PostgreSQL installed, the same is
measured there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import controld_fleet as fleet
from bench.measure import interleave, ratio, report, spread
from controld import store_audit
from controld.audit_chain import verify_chain
from controld.recorder import Recorder
from controld.records import Actor, Entry
from controld.store import Store
from controld.store_url import SqliteFile
from rclib.wire.audit import AuditAction
from testbed.postgres import find_postgres, running_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controld.store_url import Database, PostgresServer

ENTRY = Entry(
    action=AuditAction.LINK_OPENED,
    organisation=None,
    actor=Actor("gwy_aaaaaaaaaaaaaaaa", "press 1", "192.0.2.1"),
    subject="gwy_aaaaaaaaaaaaaaaa",
)


@dataclasses.dataclass(frozen=True)
class Rate:
    rows_per_s: float


def audit_rows(database: Database, rounds: int, seconds: float) -> dict[str, object]:
    """Rows a second of each way, and their ratio; the chain they make is verified."""
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(database))
        recorder = Recorder(store)

        async def one_by_one() -> Rate:
            async def write() -> None:
                await store.write(lambda tx: store_audit.append(tx, ENTRY, 1))

            return await _rate(write, callers=1, seconds=seconds)

        async def grouped() -> Rate:
            async def write() -> None:
                await recorder.record(ENTRY, 1)

            return await _rate(write, callers=1000, seconds=seconds)

        def runs(way: Callable[[], object]) -> Callable[[], Rate]:
            return lambda: runner.run(way())  # type: ignore[arg-type]

        found = interleave({"grouped": runs(grouped), "one by one": runs(one_by_one)}, rounds)
        verdict = runner.run(
            store.read(lambda tx: verify_chain(store_audit.each_row(tx, store_audit.Wanted())))
        )
        assert verdict.fault is None
        runner.run(store.close())
    grouped_rates = [each.rows_per_s for each in found["grouped"]]
    single_rates = [each.rows_per_s for each in found["one by one"]]
    return {
        "grouped_rows_per_s": spread(grouped_rates, 0),
        "one_by_one_rows_per_s": spread(single_rates, 0),
        "ratio": ratio(grouped_rates, single_rates),
    }


async def _rate(write: Callable[[], object], *, callers: int, seconds: float) -> Rate:
    """Let so many callers write one row after the other, each waiting for its own."""
    end = time.monotonic() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.monotonic() < end:
            await write()  # type: ignore[misc]
            done += 1

    begin = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return Rate(round(done / (time.monotonic() - begin)))


@contextlib.contextmanager
def fresh_file() -> Iterator[SqliteFile]:
    """On the disk of the working directory: /tmp may be memory."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as directory:
        path = Path(directory) / "controld.db"
        path.touch()
        yield SqliteFile(path)


def fleet_on(database: PostgresServer | None, arguments: argparse.Namespace) -> dict[str, object]:
    """Starts with one link and with all, lists with few sessions and with many.

    On the disk of the working directory: /tmp may be memory.
    """
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as directory:
        made = fleet.prepare(Path(directory) / "data", database, arguments.links)

        async def with_few_sessions() -> tuple[fleet.Times, fleet.Times, dict[str, fleet.Times]]:
            async with fleet.running(made):
                return (
                    await fleet.start_to_grant(made, 1, arguments.starts),
                    await fleet.start_to_grant(made, arguments.links, arguments.starts),
                    await fleet.list_pages(made, arguments.lists),
                )

        async def with_many_sessions() -> dict[str, fleet.Times]:
            async with fleet.running(made):
                return await fleet.list_pages(made, arguments.lists)

        one_link, all_links, few = asyncio.run(with_few_sessions())
        fleet.add_past_sessions(made, arguments.sessions)
        many = asyncio.run(with_many_sessions())
        plan = fleet.list_plan(made.database)
    return {
        "start_to_grant_ms": {"1 link": one_link, f"{arguments.links} links": all_links},
        "start_to_grant_p99_ratio": round(all_links.p99 / one_link.p99, 2),
        "session_list_ms": {
            f"{2 * arguments.starts} sessions": few,
            f"{arguments.sessions} sessions": many,
        },
        "session_list_p50_ratio": {
            name: round(each.p50 / few[name].p50, 2) for name, each in many.items()
        },
        "session_list_requests_per_s": round(1000 / many["first_page"].p50),
        "session_list_plan": plan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--links", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--lists", type=int, default=300)
    arguments = parser.parse_args()
    figures: dict[str, object] = {}
    with fresh_file() as file:
        figures["audit_sqlite"] = audit_rows(file, arguments.rounds, arguments.seconds)
    figures["fleet_sqlite"] = fleet_on(None, arguments)
    if find_postgres() is not None:
        with running_postgres() as server:
            database = server.new_database()
            figures["audit_postgresql"] = audit_rows(database, arguments.rounds, arguments.seconds)
            figures["fleet_postgresql"] = fleet_on(server.new_database(), arguments)
    figures["target_ratio"] = 20
    report("controld", figures)


if __name__ == "__main__":
    os.nice(0)
    main()
