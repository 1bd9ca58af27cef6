"""The record for other programs: CSV, JSON Lines, syslog. Pure; each record is one line.

The numbers and hashes go along, so that what was exported can be checked against a signed head
without the database.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from controld.audit_text import cell, json_line, one_line
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from controld.audit_chain import Record

COLUMNS: Final = (
    "seq",
    "time",
    "organisation",
    "action",
    "actor",
    "actor_name",
    "source",
    "session",
    "subject",
    "detail",
    "endpoint",
    "endpoint_seq",
    "endpoint_time",
    "endpoint_gap",
    "hash",
)

# RFC 5424 §6.2.1: facility 13 is "log audit"; §7.2.2: 32473 is kept for documentation, and a
# private name without an enterprise number has to have one after the @.
_FACILITY: Final = 13
_NOTICE: Final = 5
_WARNING: Final = 4
SD_ID: Final = "remoteconnect@32473"
_WARNINGS: Final = frozenset(
    (
        AuditAction.LOGIN_FAILED,
        AuditAction.PERMISSION_DENIED,
        AuditAction.LINK_REFUSED,
        AuditAction.ENROLMENT_REFUSED,
        AuditAction.TICKET_REFUSED,
        AuditAction.AUDIT_HEAD_CONFLICT,
        AuditAction.AUDIT_HEAD_REFUSED,
        AuditAction.RULESET_MISMATCH,
        AuditAction.AMS_LOGIN_FAILED,
    )
)


def utc(ms: int | None) -> str:
    """RFC 3339 with milliseconds; empty for none."""
    if ms is None:
        return ""
    try:
        at = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(ms)  # an endpoint with a clock from another age; the number tells as much
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def csv_head() -> str:
    return ",".join(COLUMNS) + "\r\n"


def csv_line(record: Record, row_hash: bytes) -> str:
    """RFC 4180; no cell is taken for a formula."""
    out = io.StringIO()
    csv.writer(out).writerow(
        cell(one_line(str(value))) for value in _values(record, row_hash).values()
    )
    return out.getvalue()


def json_line_of(record: Record, row_hash: bytes) -> str:
    """One JSON object, with `detail` as an object."""
    values: dict[str, object] = dict(_values(record, row_hash))
    for name in ("seq", "endpoint_seq", "endpoint_gap"):
        values[name] = getattr(record, name)
    values["detail"] = msgspec.json.decode(record.detail)
    return json_line(msgspec.json.encode(values).decode()) + "\n"


def syslog_line(record: Record, row_hash: bytes, host: str) -> str:
    """One RFC 5424 message, without the framing of the transport."""
    severity = _WARNING if record.action in _WARNINGS else _NOTICE
    priority = _FACILITY * 8 + severity
    values = _values(record, row_hash)
    parameters = " ".join(
        f'{name}="{_parameter(str(value))}"'
        for name, value in values.items()
        if name != "time" and value not in {"", None}
    )
    at = values["time"]
    message_id = one_line(record.action)[:32] or "-"
    head = f"<{priority}>1 {at} {_header(host, 255)} controld - {message_id}"
    text = one_line(f"{record.actor_name or record.actor} {record.action} {record.subject}").strip()
    return f"{head} [{SD_ID} {parameters}] \ufeff{text}"


def octet_counted(message: str) -> bytes:
    """RFC 6587 §3.4.1 and RFC 5425 §4.3: no content can end a frame."""
    data = message.encode()
    return b"%d %s" % (len(data), data)


def _values(record: Record, row_hash: bytes) -> dict[str, str]:
    return {
        "seq": str(record.seq),
        "time": utc(record.at_ms),
        "organisation": record.organisation or "",
        "action": record.action,
        "actor": record.actor,
        "actor_name": record.actor_name,
        "source": record.source,
        "session": record.session or "",
        "subject": record.subject,
        "detail": record.detail,
        "endpoint": record.endpoint or "",
        "endpoint_seq": "" if record.endpoint_seq is None else str(record.endpoint_seq),
        "endpoint_time": utc(record.endpoint_at_ms),
        "endpoint_gap": str(record.endpoint_gap),
        "hash": row_hash.hex(),
    }


def _parameter(text: str) -> str:
    """RFC 5424 §6.3.3: a backslash before each of the three that could end the value."""
    for character in ("\\", '"', "]"):
        text = text.replace(character, f"\\{character}")
    return one_line(text)


def _header(text: str, limit: int) -> str:
    """RFC 5424 §6: header fields are printable ASCII without spaces."""
    return "".join(c if "!" <= c <= "~" else "?" for c in text)[:limit] or "-"
