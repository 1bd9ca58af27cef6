"""What a session is made of: addresses have one spelling inside, sets of reasons are closed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rclib.wire.errors import DecodeError
from rclib.wire.ids import DeviceId
from rclib.wire.session import (
    LINK_NETWORK,
    TUNNEL_NETWORK,
    VIRTUAL_NETWORK,
    EndReason,
    LinkAddresses,
    PathKind,
    Protocol,
    RefusalReason,
    Target,
    parse_address,
)

if TYPE_CHECKING:
    import ipaddress
    from enum import StrEnum

TARGET = Target(DeviceId("dev_" + "a" * 16), "PLC", "192.0.2.10", Protocol.TCP, 102)
ENUMS = (EndReason, PathKind, Protocol, RefusalReason)


def refused(message: object, kind: type[msgspec.Struct]) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(message), type=kind)
    except msgspec.ValidationError:
        return True
    return False


class TestAddress:
    @given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
    def test_what_is_written_is_read_again(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address
    ) -> None:
        read = parse_address("address", str(address))
        assert read == (getattr(address, "ipv4_mapped", None) or address)

    @given(st.ip_addresses(v=4))
    def test_no_address_has_a_second_form_that_slips_past_a_comparison(
        self, address: ipaddress.IPv4Address
    ) -> None:
        packed = address.packed.hex()
        for mapped in (
            f"::ffff:{address}",
            f"::FFFF:{packed[:4]}:{packed[4:]}",
            f"0:0:0:0:0:ffff:{address}",
        ):
            assert parse_address("address", mapped) == address

    @given(st.text(max_size=60) | st.text("0123456789abcdef.:%/", max_size=60))
    def test_any_text_is_an_address_or_a_decode_error(self, text: str) -> None:
        with suppress(DecodeError):
            assert getattr(parse_address("address", text), "ipv4_mapped", None) is None

    @pytest.mark.parametrize(
        "text", ["", "192.0.2.010", "192.0.2.1 ", "192.0.2", "192.0.2.1/32", "3221225985", "plc"]
    )
    def test_only_the_usual_spelling_is_an_address(self, text: str) -> None:
        with pytest.raises(DecodeError, match=r"^address: .* is not an IP address$"):
            parse_address("address", text)

    def test_the_complaint_about_a_long_text_stays_short(self) -> None:
        with pytest.raises(DecodeError) as caught:
            parse_address("address", "x" * 10_000)
        assert len(str(caught.value)) < 100

    def test_link_addresses_are_nobody_elses(self) -> None:
        assert not any(address.is_global for address in (LINK_NETWORK[1], LINK_NETWORK[-2]))
        assert not LINK_NETWORK.is_private  # RFC 6598: no plant may use it as its own LAN

    def test_link_and_virtual_addresses_are_apart_and_both_inside_of_tunnels(self) -> None:
        assert not LINK_NETWORK.overlaps(VIRTUAL_NETWORK)
        assert LINK_NETWORK.subnet_of(TUNNEL_NETWORK)
        assert VIRTUAL_NETWORK.subnet_of(TUNNEL_NETWORK)


class TestTarget:
    @given(
        st.text(min_size=1, max_size=80),
        st.ip_addresses().map(str),
        st.sampled_from(Protocol),
        st.none() | st.integers(1, 65535),
    )
    def test_a_target_arrives_as_it_was_sent(
        self, name: str, address: str, protocol: Protocol, port: int | None
    ) -> None:
        target = Target(TARGET.device, name, address, protocol, port)
        assert msgspec.json.decode(msgspec.json.encode(target), type=Target) == target

    @pytest.mark.parametrize(
        "change",
        [
            {"name": ""},
            {"name": "x" * 81},
            {"address": "1" * 46},
            {"protocol": "sctp"},
            {"protocol": "TCP"},
            {"port": 0},
            {"port": 65536},
            {"port": -1},
            {"port": "102"},
            {"port": 102.5},
            {"port": True},
            {"device": "ses_" + "a" * 16},
            {"ports": [1, 2]},
            {"virtual": "1" * 46},
            {"source_nat": None},
        ],
    )
    def test_a_target_out_of_bounds_is_refused(self, change: dict[str, object]) -> None:
        honest = msgspec.to_builtins(TARGET)
        assert not refused(honest, Target)
        assert refused(honest | change, Target)

    @pytest.mark.parametrize("field", ["device", "name", "address", "protocol"])
    def test_a_target_lacks_nothing_but_the_port_and_its_other_address(self, field: str) -> None:
        honest = msgspec.to_builtins(TARGET)
        del honest["virtual"], honest["source_nat"]
        assert not refused({k: v for k, v in honest.items() if k != "port"}, Target)
        assert refused({k: v for k, v in honest.items() if k != field}, Target)

    def test_a_session_has_two_link_addresses(self) -> None:
        assert refused({"technician": "100.64.0.1"}, LinkAddresses)
        assert refused({"gateway": "100.64.0.2"}, LinkAddresses)


@pytest.mark.parametrize("enum", ENUMS)
def test_a_member_is_written_as_it_is_called(enum: type[StrEnum]) -> None:
    assert [member.value for member in enum] == [member.name.lower() for member in enum]


@given(st.sampled_from(ENUMS), st.text(max_size=30))
def test_no_word_outside_a_closed_set_gets_in(enum: type[StrEnum], word: str) -> None:
    data = msgspec.json.encode(word)
    if word in {member.value for member in enum}:
        assert msgspec.json.decode(data, type=enum) == word
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(data, type=enum)
