"""Who this end is: its Ed25519 identity, made here, and the record of its enrolment.

In the order of an enrolment's life: make the identity, redeem the code, keep the record.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, NoReturn
from urllib.parse import urlsplit

import aiohttp
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.runtime.errors import SecretError, StartError
from rclib.runtime.files import read_bounded, write_atomic
from rclib.runtime.secret import read_secret_bytes
from rclib.tunnel.uplink import Uplink, why_unreachable
from rclib.wire.codec import Struct, decode_json
from rclib.wire.control import Url
from rclib.wire.control_http import ENROL_PATH, EnrolRequest, EnrolResponse
from rclib.wire.errors import DecodeError
from rclib.wire.identity import enrol_statement, fingerprint, sign
from rclib.wire.ids import EndpointId, IdentityKey, Signature
from rclib.wire.session import Name

if TYPE_CHECKING:
    from pathlib import Path


IDENTITY_FILE: Final = "identity.pem"
RECORD_FILE: Final = "enrolment.json"
MAX_ANSWER_BYTES: Final = 64 * 1024
ENROL_TIMEOUT_S: Final = 15
HTTPS_PORT: Final = 443


class Enrolment(Struct, frozen=True):
    """The record on disk: which control plane knows this end under which name."""

    server: Url
    endpoint: EndpointId
    name: Name
    organisation: Name
    link_host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class EnrolmentFailedError(Exception):
    """The enrolment did not happen; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An Ed25519 key pair; the private half never leaves this object but to its file."""

    _key: Ed25519PrivateKey

    @property
    def public(self) -> IdentityKey:
        return IdentityKey(self._key.public_key().public_bytes_raw())

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def sign(self, signed: bytes) -> Signature:
        return sign(self._key, signed)


def load_or_make_identity(directory: Path) -> Identity:
    """Read this end's identity, or make it at the first start; raises OperatorError."""
    path = directory / IDENTITY_FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            made = Ed25519PrivateKey.generate()
            pem = made.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            write_atomic(path, pem)
    except OSError as exc:
        raise StartError(
            f"cannot keep an identity in {directory}: {exc.strerror}; "
            "create the directory and give it to the user this program runs as"
        ) from None
    pem = read_secret_bytes(str(path), base=None).reveal()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SecretError(
            f"{path} is damaged: it holds no Ed25519 key; restore it from a backup, or remove it "
            "and enrol this end anew"
        )
    return Identity(key)


def load_enrolment(directory: Path) -> Enrolment | None:
    """Read the record; None before the first enrolment. A damaged one raises StartError."""
    path = directory / RECORD_FILE
    try:
        return decode_json(_record_decoder, RECORD_FILE, read_bounded(path, MAX_ANSWER_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise StartError(
            f"{path} cannot be used: {exc}; restore it from a backup, or remove it and enrol anew"
        ) from None


async def enrol(
    directory: Path, identity: Identity, server: str, code: str, uplink: Uplink
) -> Enrolment:
    """Redeem a one-time code at `server` (https://HOST[:PORT]) and keep the record.

    Raises EnrolmentFailedError; then nothing on disk has changed.
    """
    server = normalise_server(server)
    request = EnrolRequest(
        code=code,
        identity_key=identity.public,
        signature=identity.sign(enrol_statement(code, identity.public)),
    )
    answer = await _post(server, msgspec.json.encode(request), uplink)
    record = Enrolment(server, answer.endpoint, answer.name, answer.organisation, answer.link_host)
    try:
        write_atomic(directory / RECORD_FILE, msgspec.json.encode(record))
    except OSError as exc:
        raise EnrolmentFailedError(
            f"the code was accepted, but the record cannot be written to {directory}: "
            f"{exc.strerror}; make room and ask for a new code"
        ) from None
    return record


def normalise_server(server: str) -> str:
    """Reduce what a person typed to https://HOST[:PORT]; raises EnrolmentFailedError."""
    text = server.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = f":{parts.port}" if parts.port not in (None, HTTPS_PORT) else ""
    except ValueError:
        _refuse_server(server)
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        _refuse_server(server)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}{port}"


_record_decoder: Final = msgspec.json.Decoder(Enrolment)
_answer_decoder: Final = msgspec.json.Decoder(EnrolResponse)


async def _post(server: str, body: bytes, uplink: Uplink) -> EnrolResponse:
    timeout = aiohttp.ClientTimeout(total=ENROL_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(
                server + ENROL_PATH,
                data=body,
                ssl=uplink.tls,
                proxy=uplink.proxy,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response,
        ):
            data = await response.content.read(MAX_ANSWER_BYTES)
            if response.status in (200, 201):
                return decode_json(_answer_decoder, "answer", data)
            raise EnrolmentFailedError(f"{server} refused: {_problem(data, response.status)}")
    except DecodeError as exc:
        raise EnrolmentFailedError(f"{server} is no controld: {exc}") from None
    except TimeoutError:
        raise EnrolmentFailedError(
            f"{server} did not answer within {ENROL_TIMEOUT_S} s; is TCP to it allowed here?"
        ) from None
    except (aiohttp.ClientError, ssl.SSLError, OSError) as exc:
        raise EnrolmentFailedError(f"cannot reach {server}: {why_unreachable(exc)}") from None


def _problem(data: bytes, status: int) -> str:
    """The sentence of a problem+json answer (RFC 9457), or the status."""
    try:
        problem = msgspec.json.decode(data, type=dict[str, str | int])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = {}
    return str(problem.get("detail") or f"HTTP status {status}")[:300]


def _refuse_server(server: str) -> NoReturn:
    raise EnrolmentFailedError(
        f"{server[:100]!r} is no server address; write it like https://cloud.example"
    )
