"""The control link's messages, all of them, as they cross it.

A strategy is derived from each struct's type, so that a message added tomorrow is tested, too.
"""

from __future__ import annotations

import typing
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from rclib.wire import control, control_http, link
from rclib.wire.control import Body
from rclib.wire.control_http import EnrolRequest, EnrolResponse, ServerList
from rclib.wire.errors import DecodeError
from rclib.wire.ids import MessageId
from rclib.wire.link import (
    MAX_LINK_BYTES,
    Ack,
    LinkFrame,
    LinkRefusal,
    LinkRefused,
    Message,
    decode_link,
    encode_link,
)
from tests.rclib.wire.derived import at, beyond, bounded, instances, places, replaced

BODIES: Final = typing.get_args(Body)
FRAMES: Final = typing.get_args(LinkFrame)
HTTP: Final = (EnrolRequest, EnrolResponse, ServerList)
MESSAGE_ID: Final = MessageId("msg_" + "a" * 16)


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

    @pytest.mark.parametrize("kind", HTTP)
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


def test_every_struct_of_the_modules_is_reached() -> None:
    """A message that is in no union would be tested, and documented, by nobody."""
    reached: set[type] = set(HTTP)
    pending: list[Any] = [inspect.type_info(kind) for kind in (*FRAMES, *HTTP)]
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
        for module in (control, control_http, link)
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, msgspec.Struct)
        and each.__module__ == module.__name__
    }
    assert declared <= reached
