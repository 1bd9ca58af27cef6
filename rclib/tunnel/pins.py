"""Identities this end has met: the first key seen under an id is the only one accepted later.

The control plane hands out ids and keys. It could name a key of its own once, at the first
meeting, which the fingerprint comparison is for; it cannot swap one afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from rclib.runtime.errors import StartError
from rclib.runtime.files import read_bounded, write_atomic
from rclib.wire.codec import decode_json
from rclib.wire.ids import EndpointId, IdentityKey

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE_BYTES: Final = 1024 * 1024


class Pins:
    """The pinned identities of one end, kept in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            data = read_bounded(path, MAX_FILE_BYTES)
            self._keys = decode_json(_decoder, path.name, data)
        except FileNotFoundError:
            self._keys = {}
        except (OSError, ValueError) as exc:
            # Starting without the pins would accept any key: damaged means shut.
            raise StartError(
                f"{path} cannot be used: {exc}; restore it from a backup, or remove it if you "
                "want to accept each peer's identity anew"
            ) from None

    def known(self, endpoint: EndpointId) -> IdentityKey | None:
        return self._keys.get(endpoint)

    def is_changed(self, endpoint: EndpointId, key: IdentityKey) -> bool:
        """Whether another key is pinned for this endpoint."""
        return self._keys.get(endpoint, key) != key

    def pin(self, endpoint: EndpointId, key: IdentityKey) -> bool:
        """Remember a first meeting, durably; False if it was none. Raises OSError, ValueError."""
        if self.is_changed(endpoint, key):
            raise ValueError(f"another identity is pinned for {endpoint}")
        if endpoint in self._keys:
            return False
        keys = {**self._keys, endpoint: key}
        write_atomic(self._path, msgspec.json.encode(keys))
        self._keys = keys
        return True


_decoder: Final = msgspec.json.Decoder(dict[EndpointId, IdentityKey])
