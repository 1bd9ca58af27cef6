"""What a log line may contain: the last step before text leaves the process.

Values from peers must not break a line, drive a terminal, or fill a disk; secrets
must not appear, however deep they sit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

from rclib.runtime.secret import REDACTED, Secret

MAX_TEXT = 2000  # characters of one value
MAX_ITEMS = 64  # of one collection
MAX_DEPTH = 6

# C0 and C1 controls, line and paragraph separators, bidirectional and invisible
# formatting, and lone surrogates, which no UTF-8 stream can carry.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def safe_text(text: str) -> str:
    """Return the text on one line, with everything invisible written out as escapes."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}... ({len(text)} characters)"
    return _UNSAFE.sub(lambda found: _escape(found[0]), text)


def safe_value(value: object, depth: int = 0) -> Any:  # noqa: ANN401 -- JSON has no narrower name
    """Return the value as plain JSON-like data with secrets redacted and text made safe."""
    match value:
        case Secret():
            return REDACTED
        case Enum():
            return safe_value(value.value, depth)
        case str():
            return safe_text(value)
        case None | bool() | int() | float():
            return value
        case bytes() | bytearray() | memoryview():
            return describe_bytes(bytes(value))
        case Mapping() | list() | tuple() | AbstractSet() if depth >= MAX_DEPTH:
            return f"({type(value).__name__} nested deeper)"
        case Mapping():
            return _safe_mapping(value, depth)
        case list() | tuple() | AbstractSet():
            items = list(value)
            shown = [safe_value(item, depth + 1) for item in items[:MAX_ITEMS]]
            if len(items) > MAX_ITEMS:
                shown.append(f"... ({len(items)} items)")
            return shown
        case BaseException():
            return safe_text(f"{type(value).__name__}: {value}")
        case _:
            return safe_text(str(value))


def describe_bytes(data: bytes) -> str:
    """Return size and a short digest: enough to tell two values apart, too little to use one."""
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:8]}"


def _safe_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, item in value.items():
        if len(shown) == MAX_ITEMS:
            shown["..."] = f"({len(value)} items)"
            break
        shown[safe_text(str(key))] = safe_value(item, depth + 1)
    return shown


def _escape(character: str) -> str:
    """Return the escape Python would print, which covers lone surrogates, too."""
    return character.encode("unicode_escape").decode("ascii")
