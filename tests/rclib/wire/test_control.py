"""The control link's messages, all of them, built from their own declarations.

A strategy is derived from each struct's type, so that a message added tomorrow is tested, too.
"""

from __future__ import annotations

import typing
from typing import Any, Final, TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from rclib.wire import control
from rclib.wire.control import (
    MAX_LINK_BYTES,
    Ack,
    Body,
    EnrolRequest,
    EnrolResponse,
    LinkFrame,
    LinkRefusal,
    LinkRefused,
    Message,
    ServerList,
    decode_link,
    encode_link,
    remaining_s,
)
from rclib.wire.errors import DecodeError
from rclib.wire.ids import MessageId
from rclib.wire.session import Milliseconds

BODIES: Final = typing.get_args(Body)
FRAMES: Final = typing.get_args(LinkFrame)
ENROLMENT: Final = (EnrolRequest, EnrolResponse, ServerList)
MESSAGE_ID: Final = MessageId("msg_" + "a" * 16)
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


ANY_BODY: Final = st.one_of([instances(kind) for kind in BODIES])
ANY_FRAME: Final = st.one_of([instances(kind) for kind in FRAMES])
ANY_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
quick: Final = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def is_refused(data: bytes | str) -> bool:
    try:
        decode_link(data)
    except DecodeError as exc:
        return exc.place == "link frame" and exc.reason != ""
    return False


class TestRoundTrip:
    @pytest.mark.parametrize("kind", BODIES)
    @given(data=st.data())
    @settings(parent=quick, max_examples=15)
    def test_every_body_arrives_as_it_was_sent(
        self, kind: type[msgspec.Struct], data: st.DataObject
    ) -> None:
        message = Message(MESSAGE_ID, data.draw(st.integers(0, 2**53)), data.draw(instances(kind)))
        assert decode_link(encode_link(message)) == message

    @given(ANY_FRAME)
    @quick
    def test_every_frame_arrives_as_it_was_sent(self, frame: LinkFrame) -> None:
        assert decode_link(encode_link(frame)) == frame
        assert decode_link(encode_link(frame).decode()) == frame

    @pytest.mark.parametrize("kind", ENROLMENT)
    @given(data=st.data())
    @settings(parent=quick, max_examples=15)
    def test_an_enrolment_arrives_as_it_was_sent(
        self, kind: type[msgspec.Struct], data: st.DataObject
    ) -> None:
        sent = data.draw(instances(kind))
        assert msgspec.json.decode(msgspec.json.encode(sent), type=kind) == sent


class TestAnything:
    @given(st.binary(max_size=300) | st.text(st.characters(codec=None), max_size=300))
    def test_any_bytes_or_text_are_refused_in_order(self, data: bytes | str) -> None:
        assert is_refused(data)

    @given(ANY_JSON)
    def test_any_json_is_refused_in_order(self, value: object) -> None:
        assert is_refused(msgspec.json.encode(value))

    @given(ANY_FRAME, st.data())
    @quick
    def test_a_damaged_frame_is_read_or_refused_in_order(
        self, frame: LinkFrame, data: st.DataObject
    ) -> None:
        sent = bytearray(encode_link(frame))
        start = data.draw(st.integers(0, len(sent)))
        end = data.draw(st.integers(start, min(len(sent), start + 8)))
        sent[start:end] = data.draw(st.binary(max_size=8))
        is_refused(bytes(sent))

    @given(ANY_FRAME, st.data())
    @quick
    def test_half_a_frame_is_none(self, frame: LinkFrame, data: st.DataObject) -> None:
        sent = encode_link(frame)
        assert is_refused(sent[: data.draw(st.integers(0, len(sent) - 1))])

    @given(ANY_FRAME, ANY_FRAME)
    @quick
    def test_two_frames_in_one_message_are_none(self, one: LinkFrame, other: LinkFrame) -> None:
        assert is_refused(encode_link(one) + encode_link(other))

    @given(ANY_FRAME, ANY_JSON, st.data())
    @quick
    def test_any_other_value_in_any_place_is_read_or_refused_in_order(
        self, frame: LinkFrame, value: object, data: st.DataObject
    ) -> None:
        sent = msgspec.to_builtins(frame)
        place = data.draw(st.sampled_from(places(sent)))
        is_refused(msgspec.json.encode(replaced(sent, place, value)))

    @given(ANY_FRAME, st.data())
    @quick
    def test_an_unknown_field_is_refused_wherever_it_stands(
        self, frame: LinkFrame, data: st.DataObject
    ) -> None:
        sent = msgspec.to_builtins(frame)
        # An audit event's detail is the one object whose keys its writer chooses.
        structs = [p for p in places(sent) if isinstance(at(sent, p), dict) and "detail" not in p]
        place = data.draw(st.sampled_from(structs))
        wider = {**at(sent, place), "extra": None}
        assert is_refused(msgspec.json.encode(replaced(sent, place, wider)))


class TestBounds:
    @pytest.mark.parametrize(
        ("struct", "field"),
        [
            (kind, field.name)
            for kind in (*BODIES, *FRAMES)
            for field in inspect.type_info(kind).fields  # type: ignore[attr-defined]
            if field.required
        ],
    )
    @given(data=st.data())
    @settings(parent=quick, max_examples=3)
    def test_what_must_stand_in_a_message_is_never_guessed(
        self, struct: type[msgspec.Struct], field: str, data: st.DataObject
    ) -> None:
        sent = msgspec.to_builtins(data.draw(instances(struct)))
        del sent[field]
        if struct in BODIES:
            sent = {"type": "message", "id": MESSAGE_ID, "sent_ms": 1, "body": sent}
        assert is_refused(msgspec.json.encode(sent))

    @given(ANY_FRAME, st.data())
    @quick
    def test_a_bound_holds_wherever_it_stands(self, frame: LinkFrame, data: st.DataObject) -> None:
        """One step beyond: each bounded text, number and list of a message, one at a time."""
        sent = msgspec.to_builtins(frame)
        place, kind = data.draw(st.sampled_from(bounded(type(frame), sent)))
        for value in beyond(kind, at(sent, place)):
            assert is_refused(msgspec.json.encode(replaced(sent, place, value)))

    def test_a_frame_has_a_longest_form(self) -> None:
        honest = encode_link(Ack(MESSAGE_ID))
        longest = honest + b" " * (MAX_LINK_BYTES - len(honest))
        assert not is_refused(longest)
        assert is_refused(longest + b" ")
        assert is_refused((longest + b" ").decode())


class TestTags:
    def test_no_two_messages_share_a_tag(self) -> None:
        tags = [kind.__struct_config__.tag for kind in (*BODIES, *FRAMES)]
        assert None not in tags
        assert len(set(tags)) == len(tags)

    @given(ANY_BODY)
    @quick
    def test_a_body_alone_is_no_frame(self, body: Body) -> None:
        assert is_refused(msgspec.json.encode(body))

    @given(ANY_FRAME)
    @quick
    def test_a_frame_is_no_body(self, frame: LinkFrame) -> None:
        sent = {"type": "message", "id": MESSAGE_ID, "sent_ms": 1}
        assert is_refused(msgspec.json.encode({**sent, "body": frame}))

    @given(st.text(max_size=20))
    def test_an_unknown_message_is_refused(self, tag: str) -> None:
        known = {kind.__struct_config__.tag for kind in FRAMES}
        assert tag in known or is_refused(msgspec.json.encode({"type": tag}))

    @given(st.text(max_size=20))
    def test_a_link_is_refused_for_known_reasons_only(self, reason: str) -> None:
        frame = {"type": "refused", "reason": reason}
        assert is_refused(msgspec.json.encode(frame)) is (reason not in set(LinkRefusal))

    def test_a_refusal_needs_no_detail(self) -> None:
        frame = LinkRefused(LinkRefusal.VERSION)
        assert decode_link(b'{"type":"refused","reason":"version"}') == frame


class TestRemaining:
    MOMENTS = st.integers(-(2**53), 2**53)

    @given(st.integers(1, 2**53), st.integers(0, 2**40))
    def test_what_is_left_is_the_distance_from_the_transmission(
        self, sent_ms: int, left_ms: int
    ) -> None:
        assert remaining_s(sent_ms + left_ms, sent_ms) == left_ms / 1000

    @given(MOMENTS, MOMENTS)
    def test_nothing_is_ever_left_of_what_is_past(self, until_ms: int, sent_ms: int) -> None:
        left = remaining_s(min(until_ms, sent_ms), max(until_ms, sent_ms))
        assert left == 0

    @given(MOMENTS, st.integers(-(2**53), 0))
    def test_a_bound_or_a_clock_that_says_nothing_grants_nothing(
        self, moment: int, nothing: int
    ) -> None:
        assert remaining_s(moment, nothing) == 0
        assert remaining_s(nothing, moment) == 0

    @given(st.integers(1, 2**52), st.integers(1, 2**52), st.integers(0, 2**40))
    def test_a_clock_that_is_wrong_by_years_changes_nothing(
        self, sent_ms: int, elsewhere_ms: int, left_ms: int
    ) -> None:
        assert remaining_s(sent_ms + left_ms, sent_ms) == remaining_s(
            elsewhere_ms + left_ms, elsewhere_ms
        )

    @given(st.integers().filter(lambda ms: not 0 <= ms <= 2**53))
    def test_a_moment_outside_all_calendars_does_not_arrive(self, moment: int) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(moment, Milliseconds)


def test_every_struct_of_the_module_is_reached() -> None:
    """A message that is in no union would be tested, and documented, by nobody."""
    reached: set[type] = set(ENROLMENT)
    pending: list[Any] = [inspect.type_info(kind) for kind in (*FRAMES, *ENROLMENT)]
    while pending:
        kind = pending.pop()
        match kind:
            case inspect.StructType():
                reached.add(kind.cls)
                pending += [field.type for field in kind.fields]
            case inspect.UnionType():
                pending += kind.types
            case inspect.VarTupleType():
                pending.append(kind.item_type)
    declared = {
        each
        for each in vars(control).values()
        if isinstance(each, type)
        and issubclass(each, msgspec.Struct)
        and each.__module__ == control.__name__
    }
    assert declared <= reached


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
