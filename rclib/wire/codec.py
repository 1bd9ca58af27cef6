"""How JSON messages are shaped and read, once for the control link and both local protocols."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from rclib.wire.errors import DecodeError

T = TypeVar("T")


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """A message or a part of one; a message has a tag, which stands in the field `type`."""


def decode_json(decoder: msgspec.json.Decoder[T], place: str, data: bytes | str) -> T:
    """Read one JSON object; raises DecodeError and nothing else."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise DecodeError(place, str(exc)) from None
