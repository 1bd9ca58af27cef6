"""The connection check beside servers that answer, hang, refuse, lie, and certificates that do."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from controld.certificates import Authority
from rcd import reach, reach_stun
from rcd.audit_heads import AuditHeads
from rcd.connection_check import ConnectionCheck
from rcd.journal import Journal
from rcd.records import Records
from rclib.runtime.clock import wall_ms
from rclib.runtime.logs import get_logger
from rclib.tunnel import name_lookup
from rclib.tunnel.audit_spool import AuditSpool
from rclib.tunnel.enrolment import load_or_make_identity
from rclib.tunnel.uplink import open_uplink
from rclib.wire import stun
from rclib.wire.control import StunServer
from rclib.wire.control_http import SERVERS_PATH, ServerList
from rclib.wire.journal import decode_line
from rclib.wire.local import (
    Check,
    CheckConnection,
    CheckOutcome,
    CheckPart,
    CheckReport,
    Failed,
    RequestError,
)
from rclib.wire.stun import Message, MessageClass, Method
from rclib.wire.stun_attributes import XOR_MAPPED_ADDRESS, TransportAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONTROL, RELAY, STUN = "control.test", "relay.test", "stun.test"
SHORT_S = 0.4
WHO = CheckConnection("page")


@dataclass
class Plant:
    """Servers on loopback, and what the plant's DNS says; a test breaks what it likes."""

    directory: Path
    authority: Authority
    names: dict[str, str] | None = field(
        default_factory=lambda: {CONTROL: "127.0.0.1", RELAY: "127.0.0.1", STUN: "127.0.0.1"}
    )
    """None: the resolver says nothing."""
    clock_ahead_ms: int = 0
    certificate_of: str = CONTROL
    certificate_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    answer: bytes = b""
    port: int = 0
    relay_port: int = 0
    stun_port: int = 0
    is_hanging: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def getaddrinfo(self, host: str, *_: object, **__: object) -> list[Any]:
        self.asked += 1
        if self.names is None:
            await self.over.wait()
        if host not in (self.names or {}):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ((self.names or {})[host], 0))]

    def tls(self, name: str) -> ssl.SSLContext:
        certificate, key = self.authority.issue([name], self.certificate_at)
        (self.directory / "cert.pem").write_bytes(certificate)
        (self.directory / "key.pem").write_bytes(key)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.directory / "cert.pem", self.directory / "key.pem")
        return made

    async def list_servers(self, _: web.Request) -> web.Response:
        if self.is_hanging:
            await self.over.wait()
        said = ServerList(
            wall_ms() - self.clock_ahead_ms,
            (f"wss://{RELAY}:{self.relay_port}/relay",),
            (StunServer(STUN, self.stun_port),),
        )
        return web.Response(body=self.answer or msgspec.json.encode(said))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get(SERVERS_PATH, self.list_servers)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0)
        await runner.setup()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(StunAnswerer, ("127.0.0.1", 0))
        self.stun_port = transport.get_extra_info("sockname")[1]
        try:
            for name in (RELAY, self.certificate_of):
                site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.tls(name))
                await site.start()
            self.relay_port, self.port = (address[1] for address in runner.addresses)
            yield
        finally:
            self.over.set()
            transport.close()
            await runner.cleanup()

    def checker(self) -> ConnectionCheck:
        (self.directory / "ca.pem").write_bytes(self.authority.certificate_pem)
        journal = Journal(self.directory, load_or_make_identity(self.directory))
        heads = AuditHeads(self.directory / "heads")
        spool = AuditSpool(self.directory / "spool")
        records = Records(spool, journal, heads, get_logger("rcd"))
        return ConnectionCheck(open_uplink(str(self.directory / "ca.pem")), records)

    async def check(self, checker: ConnectionCheck | None = None) -> CheckReport:
        own = f"https://{CONTROL}:{self.port}"
        report = await (checker or self.checker()).carry_out(WHO, own, is_on=False)
        assert isinstance(report, CheckReport), report
        return report

    def journal(self) -> list[dict[str, str]]:
        lines = (self.directory / "journal.jsonl").read_bytes().splitlines()
        return [dict(decode_line(line).event.detail) for line in lines]


class StunAnswerer(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401 - asyncio's
        seen = XOR_MAPPED_ADDRESS.of(TransportAddress(ipaddress.ip_address(addr[0]), addr[1]))
        asked = stun.decode(data).transaction_id
        answer = Message(MessageClass.SUCCESS, Method.BINDING, asked, (seen,))
        self.transport.sendto(stun.encode(answer), addr)  # type: ignore[attr-defined]


@pytest.fixture
async def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    made = Plant(tmp_path, Authority.create("test", dt.datetime.now(dt.UTC)))
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", made.getaddrinfo, raising=False)
    return made


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_lookup, "LOOKUP_S", SHORT_S)
    monkeypatch.setattr(reach, "HTTP_S", SHORT_S)
    monkeypatch.setattr(reach_stun, "ANSWER_S", SHORT_S)


def outcomes(report: CheckReport) -> dict[tuple[CheckPart, str], CheckOutcome]:
    return {(each.part, each.host): each.outcome for each in report.checks}


def of(report: CheckReport, part: CheckPart) -> Check:
    return next(each for each in report.checks if each.part is part)


async def test_where_everything_works_every_part_is_good(plant: Plant) -> None:
    async with plant.served():
        report = await plant.check()
    assert outcomes(report) == {
        (CheckPart.NAME, CONTROL): CheckOutcome.GOOD,
        (CheckPart.CONTROL, CONTROL): CheckOutcome.GOOD,
        (CheckPart.CLOCK, ""): CheckOutcome.GOOD,
        (CheckPart.NAME, RELAY): CheckOutcome.GOOD,
        (CheckPart.NAME, STUN): CheckOutcome.GOOD,
        (CheckPart.RELAY, RELAY): CheckOutcome.GOOD,
        (CheckPart.STUN, STUN): CheckOutcome.GOOD,
    }
    assert of(report, CheckPart.STUN).detail.startswith("127.0.0.1:")
    assert plant.asked == 3, "no name is asked for twice"


async def test_it_is_on_record_before_anything_is_sent(plant: Plant) -> None:
    async with plant.served():
        await plant.check()
    shown = {"server": f"https://{CONTROL}:{plant.port}", "access": "off"}
    assert plant.journal() == [shown]


async def test_what_cannot_be_recorded_is_not_sent(plant: Plant) -> None:
    checker = plant.checker()
    (plant.directory / "spool").unlink(missing_ok=True)
    (plant.directory / "spool").mkdir()
    answer = await checker.carry_out(WHO, f"https://{CONTROL}", is_on=False)
    assert isinstance(answer, Failed)
    assert answer.error is RequestError.STORAGE
    assert plant.asked == 0


async def test_a_second_check_has_to_wait_and_sends_nothing(plant: Plant) -> None:
    async with plant.served():
        checker = plant.checker()
        first = asyncio.create_task(plant.check(checker))
        await asyncio.sleep(0)
        during = await checker.carry_out(WHO, f"https://{CONTROL}", is_on=True)
        await first
        asked = plant.asked
        after = await checker.carry_out(WHO, f"https://{CONTROL}", is_on=True)
    assert isinstance(during, Failed)
    assert isinstance(after, Failed)
    assert {during.error, after.error} == {RequestError.TOO_SOON}
    assert plant.asked == asked


async def test_before_enrolment_the_address_is_the_pages_and_has_to_be_one(plant: Plant) -> None:
    async with plant.served():
        server = f"https://{CONTROL}:{plant.port}"
        report = await plant.checker().carry_out(CheckConnection("page", server), None, is_on=False)
    assert isinstance(report, CheckReport)
    assert report.server == server
    for text in (None, "", "ftp://x", "https://a/b"):
        answer = await plant.checker().carry_out(CheckConnection("page", text), None, is_on=False)
        assert isinstance(answer, Failed), text
        assert answer.error is RequestError.NOT_ENROLLED


@pytest.mark.parametrize(("ahead_s", "is_good"), [(0, True), (3600, False), (-3600, False)])
async def test_a_wrong_clock_is_told_with_how_much(
    plant: Plant, ahead_s: int, *, is_good: bool
) -> None:
    plant.clock_ahead_ms = ahead_s * 1000
    async with plant.served():
        clock = of(await plant.check(), CheckPart.CLOCK)
    assert clock.outcome is (CheckOutcome.GOOD if is_good else CheckOutcome.OFF)
    assert clock.offset_s == pytest.approx(ahead_s, abs=10)


async def test_a_certificate_of_another_time_blames_the_clock(plant: Plant) -> None:
    plant.certificate_at = dt.datetime.now(dt.UTC) - dt.timedelta(days=4000)
    async with plant.served():
        report = await plant.check()
    assert of(report, CheckPart.CONTROL).outcome is CheckOutcome.OUT_OF_DATE
    assert of(report, CheckPart.CLOCK).outcome is CheckOutcome.OFF


async def test_somebody_else_in_between_is_seen(plant: Plant) -> None:
    plant.certificate_of = "inspection.test"
    async with plant.served():
        report = await plant.check()
    assert of(report, CheckPart.CONTROL).outcome is CheckOutcome.FOREIGN
    assert of(report, CheckPart.CLOCK).outcome is CheckOutcome.SKIPPED


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"{}", b'{"now_ms": "x"}', b'{"now_ms": 1, "relays": ["relay"]}', b"\xff" * 99],
)
async def test_a_server_that_is_no_control_plane_is_told_as_such(
    plant: Plant, answer: bytes
) -> None:
    plant.answer = answer
    async with plant.served():
        report = await plant.check()
    assert of(report, CheckPart.CONTROL).outcome is CheckOutcome.STRANGE


async def test_an_unknown_name_skips_what_needs_it(plant: Plant) -> None:
    plant.names = {}
    report = await plant.check()
    assert outcomes(report) == {
        (CheckPart.NAME, CONTROL): CheckOutcome.UNKNOWN,
        (CheckPart.CONTROL, CONTROL): CheckOutcome.SKIPPED,
        (CheckPart.CLOCK, ""): CheckOutcome.SKIPPED,
    }


async def test_with_a_silent_resolver_the_rest_is_tried_where_it_was(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookup, "LOOKUP_S", SHORT_S)  # all else has its time
    checker = plant.checker()
    names = checker._uplink.names  # noqa: SLF001 - as a session would have filled it
    for name in (CONTROL, RELAY, STUN):
        names.led_right(name, "127.0.0.1")
    plant.names = None
    async with plant.served():
        report = await plant.check(checker)
    found = outcomes(report)
    assert found.pop((CheckPart.NAME, CONTROL)) is CheckOutcome.SILENT
    assert found.pop((CheckPart.NAME, RELAY)) is CheckOutcome.SKIPPED, "not asked once more"
    assert found.pop((CheckPart.NAME, STUN)) is CheckOutcome.SKIPPED
    assert set(found.values()) == {CheckOutcome.GOOD}
    assert plant.asked == 1


@pytest.mark.usefixtures("hasty")
async def test_what_hangs_is_silent_and_holds_up_nothing_else(plant: Plant) -> None:
    """A relay that takes connections and says nothing, a STUN server that reads and is silent."""
    gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with gone, socket.create_server(("127.0.0.1", 0)) as hanging:
        gone.bind(("127.0.0.1", 0))
        async with plant.served():
            plant.stun_port = gone.getsockname()[1]
            plant.relay_port = hanging.getsockname()[1]
            async with asyncio.timeout(5):
                report = await plant.check()
    assert of(report, CheckPart.CONTROL).outcome is CheckOutcome.GOOD
    assert of(report, CheckPart.RELAY).outcome is CheckOutcome.SILENT
    assert of(report, CheckPart.STUN).outcome is CheckOutcome.SILENT


@pytest.mark.usefixtures("hasty")
async def test_a_control_plane_that_hangs_is_silent_and_what_it_listed_is_tried(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rcd.connection_check.CHECK_EVERY_S", 0)
    checker = plant.checker()
    async with plant.served():
        await plant.check(checker)
        plant.is_hanging = True
        report = await plant.check(checker)
    assert of(report, CheckPart.CONTROL).outcome is CheckOutcome.SILENT
    assert of(report, CheckPart.RELAY).outcome is CheckOutcome.GOOD
    assert of(report, CheckPart.STUN).outcome is CheckOutcome.GOOD


async def test_a_closed_port_is_a_refusal(plant: Plant) -> None:
    async with plant.served():
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            udp.bind(("127.0.0.1", 0))
            plant.relay_port = tcp.getsockname()[1]  # bound, and nobody listens
            closed = udp.getsockname()[1]
        plant.stun_port = closed
        report = await plant.check()
    assert of(report, CheckPart.RELAY).outcome is CheckOutcome.REFUSED
    assert of(report, CheckPart.STUN).outcome is CheckOutcome.REFUSED
