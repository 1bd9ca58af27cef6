"""TOML text for a tree of plain values; the standard library only reads TOML."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def render_toml(document: dict[str, Any]) -> str:
    """Return the document as TOML; keys without a value appear as comments."""
    return "\n".join(_table(document, "")).strip("\n") + "\n"


def _table(table: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the lines of one table: plain values first, as TOML wants it, then tables."""
    for name, value in table.items():
        if value is None:
            yield f"# {_key(name)} is not set"
        elif not isinstance(value, dict) and not _is_table_array(value):
            yield f"{_key(name)} = {_value(value)}"
    for name, value in table.items():
        child = f"{path}.{_key(name)}" if path else _key(name)
        if isinstance(value, dict):
            yield from ("", f"[{child}]", *_table(value, child))
        elif _is_table_array(value):
            for item in value:
                yield from ("", f"[[{child}]]", *_table(item, child))


def _is_table_array(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _string(name)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case dict():
            items = (
                f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None
            )
            return f"{{ {', '.join(items)} }}"
        case _:  # int; float, whose inf and nan TOML spells the same
            return repr(value)


def _string(text: str) -> str:
    # JSON's escapes are a subset of TOML's; only DEL is allowed raw in the one and not the other.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
