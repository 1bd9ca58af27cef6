"""What fits the declaration of a msgspec struct, and what just does not."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

SHORT: Final = 12
"""How much longer than they must be texts are drawn; bounds have a test of their own."""


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Everything a field of this type may hold, within SHORT."""
    match kind:
        case inspect.StrType(pattern=str() as pattern):
            return st.from_regex(pattern)
        case inspect.StrType(min_length=least, max_length=most):
            return st.text(min_size=least or 0, max_size=_most(least, most))
        case inspect.BytesType(min_length=least, max_length=most):
            return st.binary(min_size=least or 0, max_size=_most(least, most))
        case inspect.IntType(ge=least, le=most):
            return st.integers(
                -(2**63) if least is None else least, 2**63 - 1 if most is None else most
            )
        case inspect.FloatType(ge=least, le=most):
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.EnumType(cls=enum):
            return st.sampled_from(enum)
        case inspect.StructType(cls=struct):
            return instances(struct)
        case inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
            most = min(_most(least, most), (least or 0) + 2)
            return st.lists(values(item), min_size=least or 0, max_size=most).map(tuple)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
        case inspect.UnionType(types=types):
            return st.one_of([values(each) for each in types])
    raise AssertionError(f"no strategy for {kind}: write one")


def _most(least: int | None, most: int | None) -> int:
    reach = (least or 0) + SHORT
    return reach if most is None else min(reach, most)


def instances(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return st.builds(struct, **{field.name: values(field.type) for field in info.fields})


# Paths into a message as plain JSON values.

Json: TypeAlias = Any
Place: TypeAlias = tuple[Any, ...]
"""The keys and indices that lead to a value."""


def places(value: Json, here: Place = ()) -> list[Place]:
    """The place of every value inside, the whole first."""
    inner: list[tuple[Any, Json]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(place for key, each in inner for place in places(each, (*here, key)))]


def at(value: Json, place: Place) -> Json:
    for key in place:
        value = value[key]
    return value


def replaced(value: Json, place: Place, new: Json) -> Json:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], new)
    return copy


def bounded(struct: type[msgspec.Struct], sent: Json) -> list[tuple[Place, inspect.Type]]:
    """The places of `sent` that have a bound to break."""
    found: list[tuple[Place, inspect.Type]] = []
    pending: list[tuple[inspect.Type, Place]] = [(inspect.type_info(struct), ())]
    while pending:
        kind, place = pending.pop()
        value = at(sent, place)
        match kind:
            case inspect.StructType(fields=fields):
                pending += [(f.type, (*place, f.name)) for f in fields if f.name in value]
            case inspect.UnionType(types=types):
                pending += [(each, place) for each in types if is_of(each, value)]
            case inspect.VarTupleType(item_type=item):
                pending += [(item, (*place, i)) for i in range(len(value))]
        if any(True for _ in beyond(kind, value)):
            found.append((place, kind))
    return found


def is_of(kind: inspect.Type, value: Json) -> bool:
    """Which member of a union a JSON value belongs to."""
    if isinstance(kind, inspect.StructType):
        return bool(value["type"] == kind.tag)
    return isinstance(kind, inspect.NoneType) is (value is None)


def beyond(kind: inspect.Type, value: Json) -> list[Json]:
    """Values one step outside of what the type allows."""
    match kind:
        case inspect.StrType(pattern=str()):
            return [f"{value}_", ""]
        case inspect.EnumType():
            return [f"{value}_", ""]
        case inspect.StrType(min_length=least, max_length=most):
            return [
                *(["x" * (least - 1)] if least else []),
                *(["x" * (most + 1)] if most is not None else []),
            ]
        case inspect.BytesType(min_length=int() as least, max_length=int() as most):
            return [bytes(least - 1), bytes(most + 1)]
        case inspect.IntType(ge=least, le=most):
            return [
                *([least - 1] if least is not None else []),
                *([most + 1] if most is not None else []),
            ]
        case inspect.VarTupleType(min_length=least, max_length=most):
            many = [] if most is None or not value else [(value * (most + 1))[: most + 1]]
            return [*([[]] if least else []), *many]
        case _:
            return []
