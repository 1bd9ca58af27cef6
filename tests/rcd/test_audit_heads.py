from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from rcd.audit_heads import MAX_HEADS, AuditHeads
from rclib.runtime.errors import StartError
from rclib.wire.control import AuditHead
from rclib.wire.identity import audit_head_statement, sign
from rclib.wire.ids import ChainHash, IdentityKey

if TYPE_CHECKING:
    from pathlib import Path

KEY = Ed25519PrivateKey.generate()


def head(seq: int, fill: int = 0, key: Ed25519PrivateKey = KEY) -> AuditHead:
    chain_hash = ChainHash(bytes([fill]) * 32)
    return AuditHead(
        log_key=IdentityKey(key.public_key().public_bytes_raw()),
        seq=seq,
        at_ms=seq,
        chain_hash=chain_hash,
        signature=sign(key, audit_head_statement(seq, seq, chain_hash)),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit-heads.jsonl"


def test_what_was_kept_is_there_after_a_restart(path: Path) -> None:
    heads = AuditHeads(path)
    assert (heads.newest, heads.keep(head(1)), heads.keep(head(5))) == (None, "", "")
    assert AuditHeads(path).newest == head(5)
    assert heads.keep(head(5)) == ""  # said again


@pytest.mark.parametrize(
    ("offered", "complaint"),
    [
        (head(4), "row 5 was signed before"),
        (head(5, fill=1), "row 5 was signed before"),
        (head(6, key=Ed25519PrivateKey.generate()), "another key"),
        (replace(head(6), at_ms=7), "signature"),
    ],
)
def test_a_head_that_contradicts_what_was_kept_is_refused(
    path: Path, offered: AuditHead, complaint: str
) -> None:
    heads = AuditHeads(path)
    heads.keep(head(5))
    assert complaint in heads.keep(offered)
    assert AuditHeads(path).newest == head(5)


def test_the_file_stays_small_and_keeps_the_newest(path: Path) -> None:
    heads = AuditHeads(path)
    for seq in range(1, MAX_HEADS + 3):
        heads.keep(head(seq))
    lines = path.read_bytes().splitlines()
    assert len(lines) <= MAX_HEADS
    assert AuditHeads(path).newest == head(MAX_HEADS + 2)


def test_half_a_line_of_a_power_cut_is_dropped_and_damage_is_named(path: Path) -> None:
    AuditHeads(path).keep(head(1))
    with path.open("ab") as file:
        file.write(b'{"type":"audit')
    assert AuditHeads(path).newest == head(1)
    assert AuditHeads(path).keep(head(2)) == ""
    path.write_bytes(b"nonsense\n")
    with pytest.raises(StartError, match="keep a copy for the auditor"):
        AuditHeads(path)
