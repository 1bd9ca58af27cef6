"""Which keys a configuration may have, compared with those it has.

msgspec would stop at the first stranger and could not tell which key was meant, so
the document is walked along the types before it is converted.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec


def unknown_key(type_: type[msgspec.Struct], document: dict[str, Any]) -> tuple[str, str] | None:
    """Return the first key the type does not have, dotted, and the hint what may be meant."""
    root = inspect.type_info(type_)
    for struct, table, path in _tables(root, document, ""):
        names = [field.encode_name for field in struct.fields]
        for name in table:
            if name not in names and name != struct.tag_field:
                key = _join(path, name)
                return key, _hint(key, [_join(path, known) for known in names], root)
    return None


def missing_keys(type_: type[msgspec.Struct], document: dict[str, Any]) -> list[str]:
    """Return every required key the document lacks, dotted, in the order of the type."""
    return [
        _join(path, field.encode_name)
        for struct, table, path in _tables(inspect.type_info(type_), document, "")
        for field in struct.fields
        if field.required and field.encode_name not in table
    ]


def _tables(
    type_: inspect.Type,
    value: object,
    path: str,
) -> Iterator[tuple[inspect.StructType, dict[str, Any], str]]:
    """Yield each table of the document that a struct describes, with both and its path."""
    type_ = _alternative(type_, value)
    if isinstance(type_, inspect.StructType) and isinstance(value, dict):
        yield type_, value, path
        for field in type_.fields:
            if field.encode_name in value:
                child = value[field.encode_name]
                yield from _tables(field.type, child, _join(path, field.encode_name))
    elif isinstance(type_, inspect.DictType) and isinstance(value, dict):
        for name, child in value.items():
            yield from _tables(type_.value_type, child, _join(path, name))
    elif isinstance(type_, inspect.CollectionType) and isinstance(value, list):
        for index, child in enumerate(value):
            yield from _tables(type_.item_type, child, f"{path}[{index}]")


def _alternative(type_: inspect.Type, value: object) -> inspect.Type:
    """Return the member of a union that the value can only be meant for."""
    if isinstance(type_, inspect.Metadata):
        return _alternative(type_.type, value)
    if not isinstance(type_, inspect.UnionType):
        return type_
    return next((member for member in type_.types if _fits(member, value)), type_)


def _fits(member: inspect.Type, value: object) -> bool:
    match member:
        case inspect.StructType(tag_field=None) | inspect.DictType():
            return isinstance(value, dict)
        case inspect.StructType(tag_field=str() as tag_field, tag=tag):
            return isinstance(value, dict) and value.get(tag_field) == tag
        case inspect.CollectionType():
            return isinstance(value, list)
        case _:
            return False


def _hint(key: str, siblings: list[str], root: inspect.Type) -> str:
    name = _last(key)
    # A misspelt key is likelier than one in the wrong table, so its neighbours come first.
    for candidates in (siblings, list(_all_keys(root, ""))):
        by_name = {_last(candidate): candidate for candidate in reversed(candidates)}
        near = difflib.get_close_matches(name, by_name, n=1)
        if near:
            return f"did you mean {by_name[near[0]]!r}?"
    return f"known here: {', '.join(siblings) or 'nothing'}"


def _all_keys(type_: inspect.Type, path: str) -> Iterator[str]:
    """Yield every key the type can have, dotted; tables under free names appear as NAME."""
    if isinstance(type_, inspect.Metadata):
        yield from _all_keys(type_.type, path)
    elif isinstance(type_, inspect.UnionType):
        for member in type_.types:
            yield from _all_keys(member, path)
    elif isinstance(type_, inspect.StructType):
        for field in type_.fields:
            key = _join(path, field.encode_name)
            yield key
            yield from _all_keys(field.type, key)
    elif isinstance(type_, inspect.DictType):
        yield from _all_keys(type_.value_type, _join(path, "NAME"))
    elif isinstance(type_, inspect.CollectionType):
        yield from _all_keys(type_.item_type, path)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _last(path: str) -> str:
    return path.rpartition(".")[2]
