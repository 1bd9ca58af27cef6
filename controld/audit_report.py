"""One session as a page for the file: self-contained HTML, to read, print or archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from controld.audit_export import utc
from controld.audit_text import one_line
from rclib.wire.audit import AuditAction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controld.audit_chain import Fault, Record
    from controld.records import Session

_PAGES: Final = Environment(
    loader=PackageLoader("controld"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=lambda value: one_line(value) if type(value) is str else value,
)
_COUNTERS: Final = {
    "received_bytes": "Bytes into the plant",
    "sent_bytes": "Bytes out of the plant",
}


def session_report(
    session: Session,
    rows: Sequence[tuple[Record, bytes]],
    names: Mapping[str, str],
    made_ms: int,
    fault: Fault | None = None,
) -> str:
    """`names` are those of the users by id; `fault`, if the record was checked and is not whole."""
    shown = [(r, msgspec.json.decode(r.detail, type=dict[str, str]), h) for r, h in rows]
    closing = [d for r, d, _ in shown if r.action == AuditAction.TUNNEL_CLOSED]
    counters = [
        (title, detail[key]) for detail in closing for key, title in _COUNTERS.items()
        if key in detail
    ]  # fmt: skip

    def who(user: str) -> str:
        return f"{names[user]} ({user})" if names.get(user) else user

    return _PAGES.get_template("session_report.html").render(
        session=session,
        rows=shown,
        released=[row for row in shown if row[0].action == "session_released"],
        counters=counters,
        made_ms=made_ms,
        fault=fault,
        utc=utc,
        who=who,
    )
