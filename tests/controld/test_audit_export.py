"""What leaves the record is one line a row, whatever people and devices called themselves."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from controld import audit_export, audit_incident, cli, store_audit
from controld.audit_chain import Record
from controld.audit_syslog import Forwarder, Target
from controld.audit_text import one_line, visible
from controld.records import Entry
from controld.store import Store
from controld.store_url import SqliteFile
from rclib.wire.audit import AuditAction
from testbed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.controld.world import Rig

NASTY = "a\r\nb\x1b[2J\x00\u202ec\u2028d\"e'f]g\\h,i;=j\x85\ufeff"
BREAKS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
texts = st.text() | st.just(NASTY)


def record(**fields: Any) -> Record:  # noqa: ANN401 -- columns
    given_fields: dict[str, Any] = {
        "seq": 1, "at_ms": 1_700_000_000_000, "organisation": None, "actor": "usr_a",
        "actor_name": "tina", "source": "192.0.2.1", "action": "login_failed", "session": None,
        "subject": "", "detail": "{}",
    } | fields  # fmt: skip
    return Record(**given_fields)


@given(texts, texts, texts)
def test_no_field_breaks_a_line_of_any_format(name: str, source: str, subject: str) -> None:
    nasty = record(
        actor_name=name, source=source, subject=subject, action=name, detail=json.dumps({"a": name})
    )
    for line in (
        audit_export.csv_line(nasty, b"\1").removesuffix("\r\n"),
        audit_export.json_line_of(nasty, b"\1").removesuffix("\n"),
        audit_export.syslog_line(nasty, b"\1", "host").replace("\ufeff", "", 1),
    ):
        assert not BREAKS.search(line), line
        assert "\n" not in line
        assert len(line.splitlines()) == 1


@given(st.text())
def test_the_visible_spelling_is_one_line_and_reversible(text: str) -> None:
    shown = visible(text)
    assert not BREAKS.search(shown)
    assert one_line(shown) == shown
    back = re.sub(
        r"\\(?:u\{([0-9a-f]+)\}|\\)", lambda m: chr(int(m[1], 16)) if m[1] else "\\", shown
    )
    assert back == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_syslog_parameter_ends_where_it_ends(text: str) -> None:
    line = audit_export.syslog_line(record(actor_name=text), b"\1", "host")
    # RFC 5424 §6.3: an element, its parameters with their three escapes, then the message.
    assert re.fullmatch(
        r"<10[89]>1 \S+ host controld - \S+ "
        r'\[remoteconnect@32473( [a-z_]+="([^"\\\]]|\\.)*")+\] \ufeff.*',
        line,
    )


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    line = audit_export.csv_line(record(actor_name='=HYPERLINK("x")'), b"\1")
    (row,) = csv.reader(io.StringIO(line))
    assert dict(zip(audit_export.COLUMNS, row, strict=True))["actor_name"] == '\'=HYPERLINK("x")'


def test_a_frame_says_its_length_in_bytes() -> None:
    assert audit_export.octet_counted("ä") == b"2 \xc3\xa4"


class TestCommands:
    """controld audit export, report, incident."""

    async def test_each_format_has_every_row(
        self, rig: Rig, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await rig.granted()
        config = ("--config", data / "controld.toml")
        rows = len(await rig.world.actions())
        for kind, head in (("csv", 1), ("jsonl", 0), ("syslog", 0)):
            out = tmp_path / kind
            assert await _run("audit", "export", "--format", kind, "--out", out, *config) == 0
            lines = out.read_text(encoding="utf-8").splitlines()
            assert len(lines) >= rows + head
        assert await _run("audit", "export", "--format", "csv", "--out", out, *config) == 2
        assert "name a new file" in capsys.readouterr().err

    async def test_a_sessions_report_tells_its_whole_story(
        self, rig: Rig, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await rig.granted()
        store = rig.world.server.services.store
        nasty = Entry(
            action=AuditAction.SESSION_ACTIVE,
            organisation=None,
            session=rig.session,
            detail={"path": "<script>alert(1)</script>"},
        )
        await store.write(lambda tx: store_audit.append(tx, nasty, 1))
        out = tmp_path / "report.html"
        config = ("--config", data / "controld.toml")
        assert await _run("audit", "report", rig.session, "--out", out, *config) == 0
        page = out.read_text(encoding="utf-8")
        for told in (rig.session, "press 1", "192.168.10.5", "tina", "session_started"):
            assert told in page
        assert "<script>" not in page
        assert await _run("audit", "report", "ses_unknown", *config) == 2
        assert "there is no session" in capsys.readouterr().err

    async def test_an_incident_names_who_and_what_was_touched(
        self, rig: Rig, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await rig.granted()
        config = ("--config", data / "controld.toml")
        times = ("--from", "2020-01-01", "--to", "2090-01-01T00:00+01:00")
        assert await _run("audit", "incident", *times, "--json", *config) == 0
        found = json.loads(capsys.readouterr().out)
        assert [session["id"] for session in found["sessions"]] == [rig.session]
        assert rig.gateway.endpoint in found["gateways"]
        assert "tina" in found["users"].values()
        assert "127.0.0.1" in found["sources"]
        assert found["actions"]["session_started"] == 1
        assert await _run("audit", "incident", *times, *config) == 0
        assert "Sessions: 1" in capsys.readouterr().out
        early = ("--from", "2020-01-01", "--to", "2020-01-02")
        assert await _run("audit", "incident", *early, "--json", *config) == 0
        assert json.loads(capsys.readouterr().out)["sessions"] == []

    def test_times_are_utc_unless_they_say_otherwise(self) -> None:
        incident = audit_incident.summarise(0, 1000, [], [])
        assert (incident.begin, incident.end) == (
            "1970-01-01T00:00:00.000Z",
            "1970-01-01T00:00:01.000Z",
        )


class Receiver:
    """A syslog server that takes octet-counted frames and may hang up."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.hang_up_after = 10**9
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                size = int(await reader.readuntil(b" "))
                self.frames.append((await reader.readexactly(size)).decode())
                if len(self.frames) == self.hang_up_after:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def numbers(self) -> list[int]:
        return [int(found[1]) for f in self.frames if (found := re.search(r' seq="(\d+)"', f))]


class Duty:
    """Whether forwarding is this instance's, and that it was asked for."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.mine = False

    def is_mine(self) -> bool:
        self.asked.set()
        return self.mine


class TestSyslog:
    """RFC 5424 over TCP and TLS."""

    @pytest.mark.parametrize("scheme", ["tcp", "tls"])
    async def test_the_whole_record_arrives_also_over_a_broken_connection(
        self, scheme: str, data: Path
    ) -> None:
        receiver = Receiver()
        receiver.hang_up_after = 30
        tls = None
        if scheme == "tls":
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(data / "tls/server.pem", data / "tls/server-key.pem")
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        store = await Store.open(SqliteFile(data / "controld.db"))
        entry = Entry(action=AuditAction.LOGIN_FAILED, organisation=None)
        nasty = replace(entry, subject=NASTY)
        await store.write(lambda tx: store_audit.append_all(tx, [(nasty, 1)] * 60))
        rows = len(
            await store.read(lambda tx: list(store_audit.each_row(tx, store_audit.Wanted())))
        )
        target = Target(f"{scheme}://localhost:{port}", data / "tls/ca.pem")
        duty = Duty()
        log = structlog.get_logger()
        forwarder = asyncio.create_task(Forwarder(store, target, "host", log, duty.is_mine).run())
        try:
            await duty.asked.wait()
            assert receiver.connections == 0
            duty.mine = True
            await _until(lambda: set(receiver.numbers()) >= set(range(1, rows + 1)))
            await store.write(lambda tx: store_audit.append(tx, entry, 1))
            await _until(lambda: rows + 1 in receiver.numbers())
        finally:
            forwarder.cancel()
            await asyncio.gather(forwarder, return_exceptions=True)
            await store.close()
            server.close()

    @pytest.mark.parametrize("url", ["udp://a:1", "tcp://", "tls:host", "tcp://a:1/x"])
    def test_a_target_that_cannot_be_meant_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="is not tcp://"):
            Target(url)


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition, 20, "the syslog server to have every row")


async def _run(*arguments: object) -> int:
    """In a thread: the commands make a loop of their own."""
    main: Callable[..., int] = cli.main
    return await asyncio.to_thread(main, [str(argument) for argument in arguments])
