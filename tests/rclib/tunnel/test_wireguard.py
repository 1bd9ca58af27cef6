from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rclib.tunnel.wireguard import make_key_pair


def test_the_public_half_belongs_to_the_private_one() -> None:
    keys = make_key_pair()
    private = X25519PrivateKey.from_private_bytes(keys.private.reveal())
    assert private.public_key().public_bytes_raw() == keys.public


def test_the_private_half_shows_up_nowhere() -> None:
    keys = make_key_pair()
    for text in (repr(keys), str(keys), f"{keys.private}"):
        assert keys.private.reveal().hex() not in text
        assert repr(keys.private.reveal()) not in text
