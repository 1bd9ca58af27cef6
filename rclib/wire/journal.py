"""A gateway's own signed record: what an auditor can check without asking any cloud.

One JSON object per line. Each line is signed by the gateway's identity over the line before it,
so that one that was changed, left out or moved shows, also to whoever has nothing but the file
and the fingerprint on the AMS page.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, NewType

import msgspec

from rclib.wire.audit import AuditEvent, encode_event
from rclib.wire.codec import Struct, decode_json
from rclib.wire.errors import DecodeError
from rclib.wire.identity import Domain, is_signed_by, statement
from rclib.wire.ids import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rclib.wire.ids import IdentityKey

LineDigest = NewType("LineDigest", Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)])
"""SHA-256 of a line's statement."""
GENESIS: Final = LineDigest(bytes(32))
"""Stands before the first line of all."""


class JournalLine(Struct, frozen=True):
    """One event of the gateway, bound to the one before it."""

    event: AuditEvent
    previous: LineDigest
    signature: Signature
    """Over `journal_statement`."""


_decoder: Final = msgspec.json.Decoder(JournalLine)


def decode_line(line: bytes) -> JournalLine:
    return decode_json(_decoder, "journal line", line)


def encode_line(line: JournalLine) -> bytes:
    return msgspec.json.encode(line, order="sorted")


def journal_statement(previous: LineDigest, event: AuditEvent) -> bytes:
    return statement(Domain.JOURNAL, previous, encode_event(event))


def digest_of(line: JournalLine) -> LineDigest:
    return LineDigest(hashlib.sha256(journal_statement(line.previous, line.event)).digest())


def make_line(
    previous: LineDigest, event: AuditEvent, sign: Callable[[bytes], Signature]
) -> JournalLine:
    return JournalLine(event, previous, sign(journal_statement(previous, event)))


class Verified(msgspec.Struct, frozen=True):
    """What a journal shows; `fault` None: every line follows from the one before."""

    first_seq: int
    """Older lines may have been rotated away; 1: it is all there."""
    last_seq: int
    fault: str | None


def verify(lines: Iterable[bytes], key: IdentityKey) -> Verified:
    """Check a journal from its oldest line on; names the first line that does not fit."""
    first = last = 0
    expected: LineDigest | None = None
    for number, text in enumerate(lines, start=1):
        try:
            line = decode_line(text)
        except DecodeError as exc:
            return Verified(first, last, f"line {number}: {exc}")
        seq = line.event.seq
        if not is_signed_by(key, journal_statement(line.previous, line.event), line.signature):
            return Verified(first, last, f"line {number} (seq {seq}) is not this gateway's")
        if expected is None:
            first = seq
            if (seq == 1) is not (line.previous == GENESIS):
                return Verified(first, last, f"line {number} (seq {seq}) is no beginning")
        elif line.previous != expected or seq != last + 1:
            return Verified(first, last, f"line {number} (seq {seq}) does not follow seq {last}")
        expected, last = digest_of(line), seq
    return Verified(first, last, None)
