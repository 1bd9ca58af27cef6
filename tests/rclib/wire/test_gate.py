from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.errors import DecodeError
from rclib.wire.gate import (
    LIFETIME_S,
    RENEW_S,
    Allow,
    Close,
    CloseAll,
    Done,
    GateError,
    GateFailed,
    GateFrame,
    GateReply,
    GateRequest,
    Gone,
    Measure,
    Measured,
    Open,
    Opened,
    Prepare,
    Prepared,
    Renew,
    Renewed,
    Tampered,
    TunnelCounters,
    decode_frame,
    decode_request,
    encode,
)
from rclib.wire.ids import SessionId, TunnelKey, make_id
from rclib.wire.session import Protocol

sessions = st.binary(min_size=10, max_size=10).map(lambda each: SessionId(make_id("ses", each)))
keys = st.binary(min_size=32, max_size=32).map(TunnelKey)
numbers = st.integers(1, 2**53)
ports = st.integers(1, 65535)
addresses = st.ip_addresses().map(str)
texts = st.text(max_size=500)
counts = st.integers(0, 2**63 - 1)
allows = st.builds(Allow, addresses, st.sampled_from(Protocol), st.none() | ports)
verbs = st.one_of(
    st.builds(Prepare, sessions),
    st.builds(
        Open,
        sessions,
        keys,
        addresses,
        addresses,
        ports,
        st.lists(allows, min_size=1, max_size=5).map(tuple),
        st.integers(1280, 1420),
        st.integers(0, 120),
    ),
    st.builds(Renew, st.lists(sessions, max_size=5).map(tuple)),
    st.builds(Close, sessions),
    st.just(CloseAll()),
    st.just(Measure()),
)
results = st.one_of(
    st.builds(Prepared, keys),
    st.builds(Opened, st.text(max_size=15), ports, st.sampled_from(["kernel", "wireguard-go"])),
    st.builds(Renewed, st.lists(sessions, max_size=5).map(tuple)),
    st.just(Done()),
    st.builds(
        Measured,
        st.lists(
            st.builds(TunnelCounters, sessions, counts, counts, st.none() | st.floats(0, 1e9)),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(GateFailed, st.sampled_from(GateError), texts),
)
requests = st.builds(GateRequest, numbers, verbs)
frames = st.one_of(
    st.builds(GateReply, numbers, results),
    st.builds(Tampered, texts),
    st.builds(Gone, sessions, texts),
)


@given(requests)
def test_a_request_arrives_as_it_was_sent(request: GateRequest) -> None:
    line = encode(request)
    assert b"\n" not in line
    assert decode_request(line) == request


@given(frames)
def test_a_frame_arrives_as_it_was_sent(frame: GateFrame) -> None:
    line = encode(frame)
    assert b"\n" not in line
    assert decode_frame(line) == frame


@given(st.binary() | requests.map(encode).flatmap(lambda line: st.binary().map(line.__add__)))
def test_whatever_is_no_message_is_refused_with_the_one_error(line: bytes) -> None:
    for decode in (decode_request, decode_frame):
        with suppress(DecodeError):
            decode(line)


def test_an_open_lets_the_gate_choose_nothing() -> None:
    """What the gate must know stands in the request; there is no field it could be told apart."""
    assert set(Open.__struct_fields__) == {
        "session",
        "peer_key",
        "local_address",
        "peer_address",
        "endpoint_port",
        "allow",
        "mtu",
        "keepalive_s",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"session": "ses_short"},
        {"session": "gwy_aaaaaaaaaaaaaaaa"},
        {"peer_key": "AAAA"},
        {"endpoint_port": 0},
        {"endpoint_port": 65536},
        {"allow": []},
        {"allow": [{"address": "192.168.1.10", "protocol": "gre"}]},
        {"allow": [{"address": "192.168.1.10", "protocol": "tcp", "port": 0}]},
        {"mtu": 1500},
        {"keepalive_s": -1},
        {"private_key": "AAAA"},
    ],
)
def test_an_open_outside_its_bounds_is_refused(changed: dict[str, object]) -> None:
    allow = (Allow("192.168.1.10", Protocol.TCP, 502),)
    session = SessionId("ses_aaaaaaaaaaaaaaaa")
    key = TunnelKey(bytes(32))
    good = Open(session, key, "100.64.0.1", "100.64.0.2", 4000, allow, 1280)
    verb = {**msgspec.to_builtins(good), **changed}
    with pytest.raises(DecodeError):
        decode_request(msgspec.json.encode({"type": "request", "number": 1, "verb": verb}))


def test_a_session_survives_one_lost_renewal() -> None:
    assert 2 * RENEW_S < LIFETIME_S
