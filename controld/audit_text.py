r"""Text that can do nothing but be read: in the record, in a log line, in a terminal. Pure.

Names, reasons and details come from people and devices. What could begin a new line, steer a
terminal or turn the order of reading around is spelt out as `\u{…}`; the backslash is doubled,
so that the spelling is reversible and nobody can forge one.
"""

from __future__ import annotations

import re
from typing import Final

_LINE_AND_DIRECTION: Final = "\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_UNSAFE: Final = rf"\x00-\x1f\x7f-\x9f{_LINE_AND_DIRECTION}\ud800-\udfff"
"""C0, DEL, C1, separators of lines, marks that turn the order around, half characters."""
_IN_TEXT: Final = re.compile(rf"[{_UNSAFE}\\]")
_IN_LINE: Final = re.compile(rf"[{_UNSAFE}]")
_IN_JSON: Final = re.compile(rf"[\x7f-\x9f{_LINE_AND_DIRECTION}]")
_FORMULA: Final = ("=", "+", "-", "@")


def visible(text: str) -> str:
    """Spell out, once and for good, everything of `text` that is not plain to read."""
    return _IN_TEXT.sub(_spelt, text)


def one_line(text: str) -> str:
    """The same for text that should be visible already; repeating it changes nothing."""
    return _IN_LINE.sub(_spelt, text)


def json_line(line: str) -> str:
    """Escape in JSON text what JSON would leave as it is; the same value decodes from it."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


def cell(text: str) -> str:
    """A CSV cell that a spreadsheet takes for text, not for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _spelt(match: re.Match[str]) -> str:
    character = match[0]
    return "\\\\" if character == "\\" else f"\\u{{{ord(character):x}}}"
