"""controld audit verify | export | report | incident. Works beside a running controld."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from controld import audit_export, audit_incident, audit_syslog, store_audit, store_users
from controld.audit_notary import load_log_key, public_half
from controld.audit_report import session_report
from controld.audit_text import json_line
from controld.audit_verify import read_heads, verify_database
from controld.config import ControldConfig
from controld.errors import NotFoundError
from controld.store_audit import Wanted
from controld.store_offline import read_offline
from controld.store_sessions import get_session, sessions_between
from rclib.runtime.clock import wall_ms
from rclib.runtime.config import load_config
from rclib.runtime.errors import OperatorError
from rclib.runtime.supervisor import EXIT_FAILED, EXIT_OK
from rclib.wire.ids import OrganisationId, SessionId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from controld.audit_chain import Record
    from controld.records import Session
    from controld.store import Tx
    from controld.store_url import Database

FORMATS: Final = ("csv", "jsonl", "syslog")


def add_commands(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public type for it
    audit = commands.add_parser("audit", help="check and read the record")
    kinds = audit.add_subparsers(required=True)

    verify = kinds.add_parser("verify", help="walk the chain and name the first bad row")
    verify.add_argument(
        "--heads",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="audit-heads.jsonl of a gateway: shows a record that was cut off or put back",
    )
    verify.set_defaults(command=_verify)

    export = kinds.add_parser("export", help="write the record for other programs")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    export.add_argument("--send", metavar="tcp://HOST:PORT|tls://HOST:PORT", help="syslog only")
    export.add_argument("--ca", type=Path, metavar="FILE", help="who the syslog server is, by TLS")
    export.add_argument("--organisation", metavar="ID")
    _add_times(export, required=False)
    export.set_defaults(command=_export)

    report = kinds.add_parser("report", help="one session as an HTML page")
    report.add_argument("session", metavar="SESSION")
    report.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    report.set_defaults(command=_report)

    incident = kinds.add_parser("incident", help="who and what was touched in a time (NIS2)")
    incident.add_argument("--organisation", metavar="ID")
    incident.add_argument("--json", action="store_true")
    _add_times(incident, required=True)
    incident.set_defaults(command=_incident)

    for each in (verify, export, report, incident):
        each.add_argument("--config", required=True, type=Path, metavar="FILE")


def _add_times(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--from", dest="begin", type=_moment, required=required, metavar="TIME",
        help="2026-03-01T08:00 (UTC), or with an offset: 2026-03-01T08:00+01:00",
    )  # fmt: skip
    parser.add_argument("--to", dest="end", type=_moment, required=required, metavar="TIME")


def _verify(arguments: argparse.Namespace) -> int:
    config, database = _load(arguments)
    log_key = public_half(load_log_key(config.audit_key))
    kept = [head for path in arguments.heads for head in read_heads(path, log_key)]
    verdict = verify_database(database, log_key, kept)
    if verdict.fault is not None:
        _say(f"BROKEN at row {verdict.fault.seq}: {verdict.fault.reason}")
        _say(f"The {verdict.rows} rows before it are as they were written.")
        return EXIT_FAILED
    _say(f"{verdict.rows} rows, unbroken; head {verdict.head.hex()}")
    by = f"{len(kept)} heads from gateways" if kept else "the database alone (see --heads)"
    _say(f"Up to row {verdict.confirmed} a signed head vouches for it; heads from {by}.")
    return EXIT_OK


def _export(arguments: argparse.Namespace) -> int:
    config, database = _load(arguments)
    wanted = Wanted(
        organisation=OrganisationId(arguments.organisation) if arguments.organisation else None,
        from_ms=arguments.begin,
        until_ms=arguments.end,
    )
    if arguments.send is not None:
        return _send(arguments, config, database, wanted)
    line: Callable[[Record, bytes], str]
    match arguments.format:
        case "csv":
            line = audit_export.csv_line
        case "jsonl":
            line = audit_export.json_line_of
        case _:
            line = lambda record, row_hash: (  # noqa: E731 -- one of three
                audit_export.syslog_line(record, row_hash, config.host) + "\n"
            )
    head = audit_export.csv_head() if arguments.format == "csv" else ""

    def work(tx: Tx) -> int:
        lines = (line(*row) for row in store_audit.each_row(tx, wanted))
        return _write(arguments.out, head, lines)

    count = read_offline(database, work)
    if arguments.out is not None:
        _say(f"{arguments.out}: {count} rows")
    return EXIT_OK


def _send(
    arguments: argparse.Namespace, config: ControldConfig, database: Database, wanted: Wanted
) -> int:
    if arguments.format != "syslog":
        raise OperatorError("--send goes with --format syslog")
    try:
        target = audit_syslog.Target(arguments.send, arguments.ca)
        rows = read_offline(database, lambda tx: list(store_audit.each_row(tx, wanted)))
        count = asyncio.run(audit_syslog.send_all(target, rows, config.host))
    except (ValueError, OSError) as exc:
        raise OperatorError(f"{arguments.send}: {exc}; nothing, or not all, was sent") from None
    _say(f"{arguments.send}: {count} rows")
    return EXIT_OK


def _report(arguments: argparse.Namespace) -> int:
    _, database = _load(arguments)
    wanted = SessionId(arguments.session)

    def work(tx: Tx) -> str:
        session = get_session(tx, wanted)
        users = store_users.list_users(tx, session.organisation)
        rows = list(store_audit.each_row(tx, Wanted(session=wanted)))
        return session_report(session, rows, {u.id: u.name for u in users}, wall_ms())

    try:
        page = read_offline(database, work)
    except NotFoundError:
        raise OperatorError(f"there is no session {arguments.session!r}") from None
    _write(arguments.out, page, ())
    return EXIT_OK


def _incident(arguments: argparse.Namespace) -> int:
    _, database = _load(arguments)
    begin, end = arguments.begin, arguments.end
    if end <= begin:
        raise OperatorError("--to is not after --from")
    of = OrganisationId(arguments.organisation) if arguments.organisation else None

    def work(tx: Tx) -> tuple[list[Record], list[Session]]:
        rows = store_audit.each_row(tx, Wanted(organisation=of, from_ms=begin, until_ms=end))
        return [record for record, _ in rows], list(sessions_between(tx, begin, end, of))

    incident = audit_incident.summarise(begin, end, *read_offline(database, work))
    if arguments.json:
        text = json_line(msgspec.json.format(msgspec.json.encode(incident)).decode())
        sys.stdout.write(text + "\n")
    else:
        sys.stdout.write(audit_incident.as_text(incident))
    return EXIT_OK


def _load(arguments: argparse.Namespace) -> tuple[ControldConfig, Database]:
    config = load_config(ControldConfig, arguments.config)
    return config, config.database_in(arguments.config.parent)


def _write(path: Path | None, head: str, lines: Iterable[str]) -> int:
    """Write to a new file, or to the standard output; returns the number of lines."""
    count = 0
    try:
        out = sys.stdout if path is None else path.open("x", encoding="utf-8", newline="")
    except OSError as exc:
        raise OperatorError(f"{path}: {exc.strerror}; name a new file") from None
    try:
        out.write(head)
        for line in lines:
            out.write(line)
            count += 1
    except OSError as exc:
        raise OperatorError(f"{path or 'output'}: {exc.strerror} after {count} rows") from None
    finally:
        if path is not None:
            out.close()
    return count


def _moment(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-03-01T08:00") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
