from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rclib.runtime.errors import StartError
from rclib.runtime.tlsfiles import client_context, server_context

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption


def make_pair(directory: Path, stem: str, password: bytes | None = None) -> tuple[Path, Path]:
    """Write a self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption: KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    cert_file, key_file = directory / f"{stem}.pem", directory / f"{stem}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return cert_file, key_file


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """Let the two talk through memory until both are done; return the version agreed on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in ends[:]:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].version()


def test_a_client_that_trusts_the_certificate_talks_tls_1_3(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, "relay")

    assert handshake(client_context(cert), server_context(cert, key)) == "TLSv1.3"


def test_a_client_with_the_systems_cas_does_not_trust_it(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, "relay")

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_context(None), server_context(cert, key))


def test_neither_end_goes_below_tls_1_2(tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, "relay")

    for context in (client_context(cert), server_context(cert, key)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


class TestMistakes:
    def test_a_key_of_another_certificate(self, tmp_path: Path) -> None:
        cert, _ = make_pair(tmp_path, "one")
        _, key = make_pair(tmp_path, "two")

        with pytest.raises(StartError, match="cannot be used together: KEY_VALUES_MISMATCH"):
            server_context(cert, key)

    def test_a_file_that_is_no_certificate(self, tmp_path: Path) -> None:
        _, key = make_pair(tmp_path, "one")
        (tmp_path / "text").write_text("no certificate")

        with pytest.raises(StartError, match="both have to be PEM"):
            server_context(tmp_path / "text", key)
        with pytest.raises(StartError, match="holds no PEM certificate"):
            client_context(tmp_path / "text")

    def test_an_encrypted_key_is_refused_instead_of_asking_on_the_terminal(
        self, tmp_path: Path
    ) -> None:
        cert, key = make_pair(tmp_path, "one", password=b"x")

        with pytest.raises(StartError, match="is encrypted; store it decrypted"):
            server_context(cert, key)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        cert, _ = make_pair(tmp_path, "one")

        with pytest.raises(StartError, match="No such file"):
            server_context(cert, tmp_path / "nowhere")
        with pytest.raises(StartError, match="No such file"):
            client_context(Path("/nowhere"))
