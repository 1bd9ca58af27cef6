"""The gateway's own record, as a browser sees it and as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.wire.audit import AuditAction, AuditEvent
from rclib.wire.identity import sign
from rclib.wire.ids import IdentityKey
from rclib.wire.journal import GENESIS, digest_of, encode_line, make_line, verify
from tests.ams.conftest import off

if TYPE_CHECKING:
    from tests.ams.conftest import StandInRcd, Visitor

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = IdentityKey(KEY.public_key().public_bytes_raw())


def keep(rcd: StandInRcd, count: int) -> None:
    previous = GENESIS
    for seq in range(1, count + 1):
        event = AuditEvent(
            seq, 1000 * seq, AuditAction.ACCESS_CHANGED, None, f"page {seq}", {"access": "<on>"}
        )
        line = make_line(previous, event, lambda signed: sign(KEY, signed))
        previous = digest_of(line)
        rcd.journal.append(encode_line(line).decode())
    rcd.status = off(journal_seq=count, identity_key=PUBLIC)


async def test_the_newest_events_are_told_in_words(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    keep(running_rcd, 60)
    await visitor.enter()
    text = await visitor.get("/history")
    assert "Switch turned" in text
    assert text.index("page 60") < text.index("page 11")
    assert "page 10<" not in text
    assert "&lt;on&gt;" in text
    assert PUBLIC.hex() in text


async def test_the_export_is_the_record_itself(running_rcd: StandInRcd, visitor: Visitor) -> None:
    keep(running_rcd, 7)
    await visitor.enter()
    text = await visitor.get("/journal.jsonl")
    result = verify(text.encode().splitlines(), PUBLIC)
    assert (result.last_seq, result.fault) == (7, None)


async def test_strangers_get_nothing_of_it(running_rcd: StandInRcd, visitor: Visitor) -> None:
    keep(running_rcd, 7)
    for path in ("/history", "/journal.jsonl", "/fingerprint.svg"):
        assert "page 7" not in await visitor.get(path)


async def test_without_rcd_the_page_says_so(visitor: Visitor) -> None:
    await visitor.enter()
    assert "did not answer" in await visitor.get("/history")
    assert visitor.status == 503
    await visitor.get("/journal.jsonl")
    assert visitor.status == 503


async def test_the_fingerprint_can_be_photographed(
    running_rcd: StandInRcd, visitor: Visitor
) -> None:
    keep(running_rcd, 1)
    await visitor.enter()
    assert "<svg" in await visitor.get("/fingerprint.svg")
