"""Which servers the gateway reaches, and what the plant's firewall has to let out for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ams.asking import RCD_AWAY
from ams.check_view import rows, ways
from ams.rcd_client import RcdAwayError
from ams.visits import Notice
from ams.website import actor
from rclib.wire.local import CHECK_S, CheckConnection, CheckPart, CheckReport, Failed

if TYPE_CHECKING:
    from ams.website import Website
    from rclib.wire.local import Status

CHECK_PATH: Final = "/check"


class CheckPages:
    """For who has shown the password."""

    def __init__(self, site: Website) -> None:
        self._site = site
        self._report: CheckReport | None = None
        """The newest one, whoever asked for it."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get(CHECK_PATH, self.look), web.post(CHECK_PATH, self.check)]

    async def look(self, request: web.Request) -> web.Response:
        visit = await self._site.visit(request)
        if visit is None:
            raise web.HTTPSeeOther("/")
        notice, visit.notice = visit.notice, None
        try:
            status: Status | None = await self._site.rcd.status()
        except RcdAwayError:
            status, notice = None, notice or Notice("check_unasked", is_problem=True)
        report = self._report
        return self._site.page(
            request,
            "check.html",
            csrf=visit.csrf,
            notice=notice,
            status_of_rcd=status,
            seconds=CHECK_S,
            report=report,
            rows=rows(report, self._site.language(request)) if report else [],
            ways=ways(report) if report else [],
            is_listed=report is not None
            and any(each.part is CheckPart.STUN for each in report.checks),
        )

    async def check(self, request: web.Request) -> web.Response:
        visit, form = await self._site.form(request)
        server = form.get("server", "").strip() or None
        try:
            wanted = msgspec.convert(
                {"type": "check_connection", "by": actor(request), "server": server},
                CheckConnection,
            )
            answer = await self._site.rcd.ask(wanted)
        except msgspec.ValidationError as exc:
            visit.notice = Notice("failed_malformed", {"why": str(exc)}, is_problem=True)
        except RcdAwayError as exc:
            self._site.log.warning(RCD_AWAY, reason=str(exc))
            visit.notice = Notice("check_unanswered", is_problem=True)
        else:
            match answer:
                case CheckReport():
                    self._report = answer
                case Failed(error, detail):
                    visit.notice = Notice(f"failed_{error.value}", {"why": detail}, is_problem=True)
                case _:
                    visit.notice = Notice("contradicted", is_problem=True)
        raise web.HTTPSeeOther(CHECK_PATH)
