"""The check of the connection, as plant staff may have it: one at a time, seldom, on record.

OFF means no packet to anyone. A check while OFF is the one exception, because somebody at the plant
asked for it at the page: it opens nothing, listens for nothing, and is over within CHECK_S. It goes
on record before its first packet; where that cannot be written, nothing is sent.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from rcd.reach import Findings
from rclib.runtime.clock import boottime
from rclib.tunnel.enrolment import EnrolmentFailedError, normalise_server
from rclib.wire.audit import AuditAction
from rclib.wire.local import (
    CHECK_EVERY_S,
    CHECK_S,
    CheckConnection,
    CheckReport,
    Failed,
    RequestError,
)

if TYPE_CHECKING:
    from rcd.records import Records
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control_http import ServerList


class ConnectionCheck:
    """Who asks again too soon is told so, and nothing is sent."""

    def __init__(self, uplink: Uplink, records: Records) -> None:
        self._uplink = uplink
        self._records = records
        self._next_at = -math.inf
        self._listed: dict[str, ServerList | None] = {}
        """What the server last asked has listed: it may be out of reach the next time."""

    async def carry_out(
        self, wanted: CheckConnection, own_server: str | None, *, is_on: bool
    ) -> CheckReport | Failed:
        """`own_server`: of an enrolled gateway, which asks no other."""
        try:
            server = own_server or normalise_server(wanted.server or "")
        except EnrolmentFailedError as exc:
            return Failed(RequestError.NOT_ENROLLED, str(exc))
        wait_s = self._next_at - boottime()
        if wait_s > 0:
            return Failed(RequestError.TOO_SOON, f"{math.ceil(wait_s)} s")
        self._next_at = boottime() + CHECK_S + CHECK_EVERY_S
        access = "on" if is_on else "off"
        detail = {"server": server, "access": access}
        self._records.write(AuditAction.CONNECTION_CHECKED, actor=wanted.by, detail=detail)
        if self._records.fault:
            return Failed(RequestError.STORAGE, self._records.fault)
        found = Findings(self._uplink, server, self._listed.get(server))
        try:
            async with asyncio.timeout(CHECK_S):
                await found.try_all()
        except TimeoutError:
            pass  # each part has a limit of its own; what is missing then is not in the report
        self._listed = {server: found.listed}
        self._next_at = boottime() + CHECK_EVERY_S
        return found.report()
