"""The protocol documents say what the code says: same frames, messages, fields and values."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from rclib.wire import (
    access,
    admission,
    audit,
    client,
    control,
    control_http,
    gate,
    link,
    local,
    path_signal,
    relay,
    session,
    stun,
)
from rclib.wire.codec import Struct
from rclib.wire.stun import Message, MessageClass, Method
from rclib.wire.stun_attributes import ATTRIBUTES, Field, TransportAddress
from stund.config import RateLimit
from stund.limiter import SLOTS
from stund.responder import Outcome, respond

if TYPE_CHECKING:
    from types import ModuleType

    import msgspec

DOCS = Path(__file__).resolve().parents[2] / "docs" / "protocol"
Table: TypeAlias = list[list[str]]


def tables(name: str) -> dict[str, Table]:
    """Rows by the heading they stand under, without head and ruler."""
    found: dict[str, Table] = {}
    heading = ""
    for line in (DOCS / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
            found[heading] = []
        elif line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found[heading].append([cell.strip(" `") for cell in cells])
    return {key: rows[2:] for key, rows in found.items()}


def own(module: ModuleType, kind: type) -> list[type]:
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, kind) and each.__module__ == module.__name__
    ]


def heading_of(struct: type[msgspec.Struct]) -> str:
    # A part of a message has no tag of its own; msgspec then uses the name.
    tag, name = struct.__struct_config__.tag, struct.__name__
    return name if tag in (None, name) else f"{name} · `{tag}`"


WHERE = [
    ("control.md", [control, control_http, link, session, audit]),
    ("local.md", [local, gate, client, access]),
    ("signal.md", [path_signal]),
]
STRUCTS = [(doc, each) for doc, modules in WHERE for m in modules for each in own(m, Struct)]
ENUMS = [(doc, each) for doc, modules in WHERE for m in modules for each in own(m, StrEnum)]


def test_the_relays_frames_are_all_there() -> None:
    rows = tables("relay.md")["Frames"]
    assert [(int(row[0], 16), row[1]) for row in rows] == [(f, f.name) for f in relay.FrameType]


def test_the_close_reasons_are_all_there() -> None:
    rows = tables("relay.md")["Close reasons"]
    assert [(int(row[0]), row[1]) for row in rows] == [(r, r.name) for r in relay.CloseReason]


def test_the_relays_limits_have_the_codes_numbers() -> None:
    for name, value in tables("relay.md")["Limits"]:
        assert getattr(relay, name) == int(value), name


def test_the_claims_of_a_token_are_all_there() -> None:
    rows = tables("relay.md")["Admission"]
    assert [row[0] for row in rows] == list(admission.Admission.__struct_fields__)


@pytest.mark.parametrize(("document", "struct"), STRUCTS)
def test_a_message_has_the_documented_tag_and_fields(document: str, struct: type[Struct]) -> None:
    found = tables(document)
    assert heading_of(struct) in found, f"{document} lacks {heading_of(struct)}"
    assert [row[0] for row in found[heading_of(struct)]] == list(struct.__struct_fields__)


@pytest.mark.parametrize(("document", "enum"), ENUMS)
def test_a_closed_set_has_the_documented_members(document: str, enum: type[StrEnum]) -> None:
    assert [row[0] for row in tables(document)[enum.__name__]] == [each.value for each in enum]


@pytest.mark.parametrize("document", ["control.md", "local.md", "signal.md"])
def test_nothing_is_documented_that_does_not_exist(document: str) -> None:
    known = {heading_of(s) for d, s in STRUCTS if d == document}
    known |= {e.__name__ for d, e in ENUMS if d == document}
    with_tables = {heading for heading, rows in tables(document).items() if rows}
    assert with_tables <= known


def test_stunds_outcomes_are_all_there() -> None:
    rows = tables("stun.md")["What becomes of a datagram"]
    assert [row[0] for row in rows] == [each.value for each in Outcome]


def test_the_stun_attributes_are_all_there() -> None:
    rows = tables("stun.md")["Attributes"]
    assert [(int(row[0], 16), row[1]) for row in rows] == [
        (kind, ATTRIBUTES[kind].name) for kind in sorted(ATTRIBUTES)
    ]


def test_stunds_answers_have_the_documented_sizes() -> None:
    transaction_id = bytes(stun.TRANSACTION_ID_BYTES)
    request = Message(MessageClass.REQUEST, Method.BINDING, transaction_id)
    requests = [
        request,
        replace(request, fingerprint=True),
        replace(request, fields=(Field(0x0024, b""),)),
    ]
    sources = [TransportAddress(ip_address(host), 5000) for host in ("192.0.2.1", "2001:db8::1")]
    rows = tables("stun.md")["What is answered"]
    assert [[int(cell) for cell in row[2:]] for row in rows] == [
        [len(respond(stun.encode(each), source).answer or b"") for source in sources]
        for each in requests
    ]


def test_stunds_rate_limit_has_the_documented_numbers() -> None:
    text = (DOCS / "stun.md").read_text(encoding="utf-8")
    limit = RateLimit()
    assert f"{limit.requests_per_s:g} requests a second for each source and {limit.burst}" in text
    assert f"{SLOTS:,} numbers" in text
