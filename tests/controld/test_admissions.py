"""Which relay, and which of its workers, a session is sent to."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controld.admissions import Admissions
from controld.codes import new_id
from controld.config import RelayConfig
from rclib.runtime.secret import SecretBytes
from rclib.wire.identity import Side
from rclib.wire.ids import IdentityKey, RelayId, SessionId

URLS = tuple(f"wss://relay.example:{port}/relay" for port in (443, 444, 445))
KEY = IdentityKey(bytes(32))


@pytest.fixture
def admissions() -> Admissions:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    several = RelayConfig(id=RelayId("several"), url=URLS)
    one = RelayConfig(id=RelayId("one"), url="wss://one.example/relay", region="east")
    return Admissions(SecretBytes(pem), [several, one])


def urls(admissions: Admissions, session: SessionId, side: Side, region: str = "") -> list[str]:
    legs = admissions.legs(session, side, KEY, region=region, now_ms=1000, until_ms=2000)
    return [leg.url for leg in legs]


def test_both_ends_of_a_session_are_sent_to_the_same_worker_and_sessions_to_all(
    admissions: Admissions,
) -> None:
    seen = set()
    for _ in range(100):
        session = SessionId(new_id("ses"))
        technician, gateway = (urls(admissions, session, side) for side in Side)
        assert technician == gateway
        assert technician[1] == "wss://one.example/relay"
        seen.add(technician[0])
    assert seen == set(URLS)


def test_the_legs_are_those_of_the_sessions_region(admissions: Admissions) -> None:
    session = SessionId(new_id("ses"))
    assert [region.name for region in admissions.regions] == ["main", "east"]
    assert urls(admissions, session, Side.GATEWAY, "east") == ["wss://one.example/relay"]
    (leg,) = urls(admissions, session, Side.GATEWAY, "main")
    assert leg in URLS


def test_a_region_that_is_gone_from_the_configuration_leaves_all(admissions: Admissions) -> None:
    assert len(urls(admissions, SessionId(new_id("ses")), Side.GATEWAY, "gone")) == len(
        admissions.regions
    )


def test_every_worker_is_told_of_a_session_that_is_over(admissions: Admissions) -> None:
    # Two ends that conspire may meet at a worker that they were not sent to.
    told = list(admissions.addresses())
    assert told == [*(("several", url) for url in URLS), ("one", "wss://one.example/relay")]


def test_a_worker_without_tls_is_refused_like_a_relay() -> None:
    with pytest.raises(ValueError, match="begins with wss://"):
        RelayConfig(id=RelayId("r"), url=("wss://a/relay", "http://b/relay"))
