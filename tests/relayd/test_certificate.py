"""A renewed certificate serves new legs; those that are up notice nothing."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from tests.relayd.conftest import PATIENCE_S, make_certificate

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.relayd.conftest import Call, Pair, RunningRelay, StartRelay


async def served(relay: RunningRelay, call: Call) -> bytes:
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    _, writer = await call(relay.port, tls=blind)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert isinstance(certificate, bytes)
    return certificate


async def another_than(old: bytes, relay: RunningRelay, call: Call) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        while (new := await served(relay, call)) == old:  # noqa: ASYNC110 - a file is watched
            await asyncio.sleep(0.1)
    return new


async def test_a_renewed_certificate_is_served_and_no_leg_drops(
    tmp_path: Path, start_relay: StartRelay, pair: Pair, call: Call
) -> None:
    relay = await start_relay(certificate_check_s=0.05)
    technician, gateway = await pair(relay)
    old = await served(relay, call)
    pem, _ = make_certificate(tmp_path)
    new = await another_than(old, relay, call)
    assert ssl.DER_cert_to_PEM_cert(new) == pem.read_text()
    technician.send(b"\x10\x00\x01a")
    await gateway.receives([b"\x10\x00\x01a"])


async def test_half_a_renewal_leaves_the_old_one_in_use(
    tmp_path: Path, start_relay: StartRelay, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    relay = await start_relay(certificate_check_s=0.05)
    old = await served(relay, call)
    (tmp_path / "relay.key").write_text("no key")
    assert relay.ctx is not None
    async with asyncio.timeout(PATIENCE_S):
        while "certificate_unusable" not in "".join(capsys.readouterr()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await served(relay, call) == old
    make_certificate(tmp_path)
    assert await another_than(old, relay, call)
