import csv
import hashlib
import hmac
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from aioice import stun as aioice_stun
from hypothesis import example, given
from hypothesis import strategies as st

from rclib.wire.errors import DecodeError
from rclib.wire.stun import (
    Message,
    MessageClass,
    Method,
    decode,
    encode,
    fingerprint_of,
    join_type,
    split_type,
)
from rclib.wire.stun_attributes import (
    ALTERNATE_DOMAIN,
    ALTERNATE_SERVER,
    ATTRIBUTES,
    ERROR_CODE,
    FINGERPRINT,
    MAGIC_COOKIE,
    MAPPED_ADDRESS,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    SOFTWARE,
    UNKNOWN_ATTRIBUTES,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    ErrorCode,
    Field,
    TransportAddress,
    name_of,
)

DATA = Path(__file__).parents[2] / "data" / "stun"
TXID = bytes(range(12))
SHORT_TERM_PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
LONG_TERM_USER = "マトリックス"


def vector(name: str) -> bytes:
    lines = (DATA / f"{name}.hex").read_text().splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


def datagram(body: bytes = b"", *, kind: int = 0x0001) -> bytes:
    return struct.pack("!HHI12s", kind, len(body), MAGIC_COOKIE, TXID) + body


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def integrity(data: bytes, key: bytes, digest: str, attribute: int) -> tuple[bytes, bytes]:
    """The integrity value in a message and what it should be, computed apart from our codec."""
    offset = 20
    while (kind := int.from_bytes(data[offset : offset + 2], "big")) != attribute:
        assert kind, "the attribute is in the message"
        offset += 4 + -(-int.from_bytes(data[offset + 2 : offset + 4], "big") // 4) * 4
    size = int.from_bytes(data[offset + 2 : offset + 4], "big")
    covered = data[:2] + struct.pack("!H", offset - 20 + 4 + size) + data[4:offset]
    return data[offset + 4 : offset + 4 + size], hmac.new(key, covered, digest).digest()[:size]


class TestRfc5769:
    """The published test vectors; each one's integrity value proves it was typed in right."""

    @pytest.mark.parametrize(
        "name", ["rfc5769-request", "rfc5769-response-ipv4", "rfc5769-response-ipv6"]
    )
    def test_the_short_term_vectors_carry_their_own_proof(self, name: str) -> None:
        found, expected = integrity(vector(name), SHORT_TERM_PASSWORD, "sha1", 0x0008)

        assert found == expected

    def test_the_long_term_vector_carries_its_own_proof(self) -> None:
        key = hashlib.md5(f"{LONG_TERM_USER}:example.org:TheMatrIX".encode()).digest()  # noqa: S324 - RFC 5389 §15.4

        found, expected = integrity(vector("rfc5769-request-long-term"), key, "sha1", 0x0008)

        assert found == expected

    def test_the_userhash_vector_carries_its_own_proof(self) -> None:
        key = hashlib.sha256(f"{LONG_TERM_USER}:example.org:TheMatrIX".encode()).digest()

        found, expected = integrity(vector("rfc8489-request-userhash"), key, "sha256", 0x001C)

        assert found == expected

    def test_the_request_is_read(self) -> None:
        message = decode(vector("rfc5769-request"))

        assert (message.message_class, message.method) == (MessageClass.REQUEST, Method.BINDING)
        assert message.transaction_id == bytes.fromhex("b7e7a701bc34d686fa87dfae")
        assert message.get(SOFTWARE) == "STUN test client"
        assert message.get(USERNAME) == "evtj:h6vY"
        assert message.fingerprint
        assert message.not_understood == (0x0024,)  # PRIORITY belongs to ICE

    @pytest.mark.parametrize(
        ("name", "host"),
        [
            ("rfc5769-response-ipv4", IPv4Address("192.0.2.1")),
            ("rfc5769-response-ipv6", IPv6Address("2001:db8:1234:5678:11:2233:4455:6677")),
        ],
    )
    def test_the_responses_are_read(self, name: str, host: IPv4Address | IPv6Address) -> None:
        message = decode(vector(name))

        assert message.message_class is MessageClass.SUCCESS
        assert message.get(SOFTWARE) == "test vector"
        assert message.get(XOR_MAPPED_ADDRESS) == TransportAddress(host, 32853)
        assert message.fingerprint

    def test_the_long_term_request_is_read(self) -> None:
        message = decode(vector("rfc5769-request-long-term"))

        assert message.get(USERNAME) == LONG_TERM_USER
        assert message.get(NONCE) == "f//499k954d6OL34oL9FSTvy64sA"
        assert message.get(REALM) == "example.org"
        assert not message.fingerprint
        assert message.not_understood == ()

    def test_the_userhash_request_is_read(self) -> None:
        message = decode(vector("rfc8489-request-userhash"))

        expected = hashlib.sha256(f"{LONG_TERM_USER}:example.org".encode()).digest()
        assert message.get(USERHASH) == expected
        assert message.get(PASSWORD_ALGORITHM) == bytes.fromhex("00020000")
        assert MESSAGE_INTEGRITY_SHA256.type in [field.type for field in message.fields]

    @pytest.mark.parametrize(
        "name",
        ["rfc5769-request-long-term", "rfc8489-request-userhash"],
    )
    def test_vectors_with_zero_padding_are_written_back_byte_for_byte(self, name: str) -> None:
        assert encode(decode(vector(name))) == vector(name)


class TestRegistry:
    def test_every_attribute_has_the_number_iana_gave_it(self) -> None:
        with (DATA / "iana-stun-attributes.csv").open(newline="") as rows:
            registered = {int(row["value"], 16): row["name"] for row in csv.DictReader(rows)}

        assert {kind: registered.get(kind) for kind in ATTRIBUTES} == {
            kind: row.name for kind, row in ATTRIBUTES.items()
        }

    def test_everything_rfc_8489_registers_is_in_the_table(self) -> None:
        with (DATA / "iana-stun-attributes.csv").open(newline="") as rows:
            ours = {row["name"] for row in csv.DictReader(rows) if row["reference"] == "RFC8489"}

        assert {row.name for row in ATTRIBUTES.values()} == ours

    def test_an_unknown_type_is_named_by_its_number(self) -> None:
        assert (name_of(0x0020), name_of(0x0024)) == ("XOR-MAPPED-ADDRESS", "0x0024")


class TestType:
    """RFC 8489 §5: class and method share 14 bits."""

    @pytest.mark.parametrize(
        ("message_class", "method", "kind"),
        [
            (MessageClass.REQUEST, 0x001, 0x0001),
            (MessageClass.INDICATION, 0x001, 0x0011),
            (MessageClass.SUCCESS, 0x001, 0x0101),
            (MessageClass.ERROR, 0x001, 0x0111),
            (MessageClass.ERROR, 0xFFF, 0x3FFF),
            (MessageClass.REQUEST, 0x080, 0x0200),
        ],
    )
    def test_class_and_method_are_interleaved(
        self, message_class: MessageClass, method: int, kind: int
    ) -> None:
        assert join_type(message_class, method) == kind
        assert split_type(kind) == (message_class, method)

    @given(st.integers(0, 0x3FFF))
    def test_every_type_splits_and_joins_again(self, kind: int) -> None:
        assert join_type(*split_type(kind)) == kind

    def test_a_method_beyond_12_bits_is_a_local_error(self) -> None:
        with pytest.raises(ValueError, match="12 bits"):
            join_type(MessageClass.REQUEST, 0x1000)


def texts(limit: int = 120) -> st.SearchStrategy[str]:
    return st.text(max_size=limit)


ADDRESSES = st.builds(TransportAddress, st.ip_addresses(), st.integers(0, 0xFFFF))
FIELDS = st.one_of(
    st.sampled_from([MAPPED_ADDRESS, XOR_MAPPED_ADDRESS, ALTERNATE_SERVER]).flatmap(
        lambda row: ADDRESSES.map(row.of)
    ),
    st.sampled_from([USERNAME, REALM, NONCE, SOFTWARE, ALTERNATE_DOMAIN]).flatmap(
        lambda row: texts().map(row.of)
    ),
    st.builds(ErrorCode, st.integers(300, 699), texts()).map(ERROR_CODE.of),
    st.lists(st.integers(0, 0xFFFF), max_size=9).map(tuple).map(UNKNOWN_ATTRIBUTES.of),
    st.binary(min_size=32, max_size=32).map(USERHASH.of),
    st.binary(min_size=4, max_size=40).map(PASSWORD_ALGORITHM.of),
    st.binary(max_size=40).map(PASSWORD_ALGORITHMS.of),
    st.builds(
        Field,
        st.integers(0, 0xFFFF).filter(lambda kind: kind not in ATTRIBUTES),
        st.binary(max_size=40),
    ),
)
MESSAGES = st.builds(
    Message,
    st.sampled_from(MessageClass),
    st.integers(0, 0xFFF),
    st.binary(min_size=12, max_size=12),
    st.lists(FIELDS, max_size=6).map(tuple),
    st.booleans(),
)


class TestRoundTrip:
    @given(MESSAGES)
    def test_what_is_written_is_read_back(self, message: Message) -> None:
        assert decode(encode(message)) == message

    @given(ADDRESSES, st.binary(min_size=12, max_size=12), st.booleans())
    def test_an_independent_parser_reads_our_answer(
        self,
        address: TransportAddress,
        transaction_id: bytes,
        fingerprint: bool,
    ) -> None:
        answer = Message(
            MessageClass.SUCCESS,
            Method.BINDING,
            transaction_id,
            (XOR_MAPPED_ADDRESS.of(address),),
            fingerprint,
        )

        parsed: Any = aioice_stun.parse_message(encode(answer))

        assert parsed.transaction_id == transaction_id
        assert parsed.attributes["XOR-MAPPED-ADDRESS"] == (str(address.host), address.port)
        assert ("FINGERPRINT" in parsed.attributes) is fingerprint

    def test_a_request_of_an_independent_client_is_read(self) -> None:
        request: Any = aioice_stun.Message(
            message_method=aioice_stun.Method.BINDING, message_class=aioice_stun.Class.REQUEST
        )
        request.add_fingerprint()

        message = decode(bytes(request))

        assert message == Message(
            MessageClass.REQUEST, Method.BINDING, request.transaction_id, (), fingerprint=True
        )


class TestTotality:
    """Whatever arrives, `decode` returns a message or raises DecodeError."""

    @given(st.binary(max_size=200))
    def test_any_bytes_are_decoded_or_refused(self, data: bytes) -> None:
        with suppress(DecodeError):
            encode(decode(data))

    @given(st.lists(st.builds(tlv, st.sampled_from([*ATTRIBUTES, 0x0024]), st.binary(max_size=48))))
    @example([tlv(0x0009, b"\0\0\4")])
    @example([tlv(0x0020, b"")])
    def test_any_attribute_values_are_decoded_or_refused(self, attributes: list[bytes]) -> None:
        with suppress(DecodeError):
            encode(decode(datagram(b"".join(attributes))))

    @given(MESSAGES, st.data())
    def test_a_cut_message_is_refused(self, message: Message, data: st.DataObject) -> None:
        whole = encode(message)
        size = data.draw(st.integers(0, len(whole) - 1))

        with pytest.raises(DecodeError):
            decode(whole[:size])


class TestRefusals:
    """Each refusal says where and what."""

    @pytest.mark.parametrize(
        ("data", "complaint"),
        [
            (b"", "header: ends after 0 of 20 bytes"),
            (datagram()[:19], "header: ends after 19 of 20 bytes"),
            (datagram(kind=0x4001), "header.type: has one of its top two bits set"),
            (
                b"\0\1\0\0\xde\xad\xbe\xef" + TXID,
                "header.cookie: is 0xdeadbeef, not 0x2112a442",
            ),
            (b"\0\1\0\2" + datagram()[4:] + b"\0\0", "header.length: is 2, not a multiple of 4"),
            (datagram() + bytes(4), "header.length: is 0 before 4 bytes"),
            (
                datagram(b"\x80\x22\0\5abcd"),
                "attribute SOFTWARE at byte 20: runs 1 bytes past the end",
            ),
            (
                datagram(tlv(0x0020, bytes(7))),
                "attribute XOR-MAPPED-ADDRESS at byte 20: is no address: family 0 in 7 bytes",
            ),
            (
                datagram(tlv(0x0001, b"\0\2" + bytes(6))),
                "attribute MAPPED-ADDRESS at byte 20: is no address: family 2 in 8 bytes",
            ),
            (
                datagram(tlv(0x0024, bytes(4)) + tlv(0x0009, b"\0\0\4")),
                "attribute ERROR-CODE at byte 28: is too short for an error code",
            ),
            (
                datagram(tlv(0x0009, b"\0\0\4\x64")),
                "attribute ERROR-CODE at byte 20: has class 4 and number 100",
            ),
            (
                datagram(tlv(0x000A, bytes(3))),
                "attribute UNKNOWN-ATTRIBUTES at byte 20: has 3 bytes, no list of 16 bit types",
            ),
            (
                datagram(tlv(0x8022, b"\xff")),
                "attribute SOFTWARE at byte 20: is not UTF-8",
            ),
            (
                datagram(tlv(0x8022, bytes(764))),
                "attribute SOFTWARE at byte 20: has 764 bytes, more than 763",
            ),
            (
                datagram(tlv(0x001E, bytes(19))),
                "attribute USERHASH at byte 20: has 19 bytes, which RFC 8489 does not allow",
            ),
            (
                datagram(tlv(0x8028, bytes(3))),
                "attribute FINGERPRINT at byte 20: is not 4 bytes long",
            ),
            (
                datagram(tlv(0x8028, bytes(4)) + tlv(0x8022, b"")),
                "attribute FINGERPRINT at byte 20: is not the last attribute",
            ),
            (
                datagram(tlv(0x8028, bytes(4))),
                "attribute FINGERPRINT at byte 20: does not match the message",
            ),
        ],
    )
    def test_a_broken_message_is_refused_with_place_and_reason(
        self, data: bytes, complaint: str
    ) -> None:
        with pytest.raises(DecodeError) as refusal:
            decode(data)

        assert str(refusal.value) == complaint

    @pytest.mark.parametrize(
        "message",
        [
            Message(MessageClass.REQUEST, Method.BINDING, bytes(11)),
            Message(MessageClass.REQUEST, 0x1000, TXID),
            Message(MessageClass.REQUEST, Method.BINDING, TXID, (SOFTWARE.of("x" * 764),)),
            Message(MessageClass.ERROR, Method.BINDING, TXID, (ERROR_CODE.of(ErrorCode(200)),)),
            Message(MessageClass.REQUEST, Method.BINDING, TXID, (Field(0x9999, bytes(65535)),)),
            Message(
                MessageClass.SUCCESS,
                Method.BINDING,
                TXID,
                (MAPPED_ADDRESS.of(TransportAddress(IPv4Address("192.0.2.1"), 65536)),),
            ),
        ],
    )
    def test_a_message_stun_cannot_express_is_a_local_error(self, message: Message) -> None:
        with pytest.raises(ValueError, match=r"."):
            encode(message)


class TestMeaning:
    def test_padding_may_be_anything(self) -> None:
        message = decode(datagram(b"\x80\x22\0\1a\xff\xff\xff"))

        assert message.get(SOFTWARE) == "a"

    def test_the_first_of_repeated_attributes_counts(self) -> None:
        message = decode(datagram(tlv(0x8022, b"first") + tlv(0x8022, b"second")))

        assert message.get(SOFTWARE) == "first"

    def test_each_type_that_must_be_understood_is_reported_once(self) -> None:
        body = tlv(0x0024, bytes(4)) + tlv(0xC057, b"") + tlv(0x0003, b"") + tlv(0x0024, b"")

        assert decode(datagram(body)).not_understood == (0x0024, 0x0003)

    def test_attributes_behind_message_integrity_do_not_count(self) -> None:
        """RFC 8489 §14.5: the integrity does not cover them."""
        sealed = tlv(0x0008, bytes(20))
        message = decode(datagram(sealed + tlv(0x0003, b"") + tlv(0x001C, bytes(32))))

        assert [field.type for field in message.fields] == [0x0008, 0x001C]

    def test_nothing_but_fingerprint_counts_behind_the_sha256_integrity(self) -> None:
        sealed = tlv(0x001C, bytes(32)) + tlv(0x0008, bytes(20)) + tlv(0x0003, b"")
        covered = datagram(sealed + tlv(0x8028, bytes(4)))[:-8]
        message = decode(covered + tlv(0x8028, fingerprint_of(covered).to_bytes(4, "big")))

        assert [field.type for field in message.fields] == [0x001C]
        assert message.fingerprint

    def test_a_missing_attribute_is_none(self) -> None:
        message = decode(datagram())

        assert message.get(XOR_MAPPED_ADDRESS) is None
        assert message.get(MESSAGE_INTEGRITY) is None
        assert message.get(FINGERPRINT) is None
