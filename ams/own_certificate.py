"""The page's own TLS certificate: made at the first start, known by its fingerprint."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rclib.runtime.errors import StartError
from rclib.runtime.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_VALID: Final = dt.timedelta(days=3650)
"""Nobody renews it; browsers were told to trust this very certificate, not its date."""
_EARLIER: Final = dt.timedelta(days=365 * 10)
"""A gateway may start before its clock is set."""


def ensure(directory: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """Return certificate and key, made now if either is missing. Raises StartError."""
    certificate, key = directory / "tls.pem", directory / "tls.key"
    if certificate.exists() and key.exists():
        return certificate, key
    private = ec.generate_private_key(ec.SECP256R1())
    made = _certificate(private, tuple(names), dt.datetime.now(dt.UTC))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(
            key,
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        write_atomic(certificate, made.public_bytes(serialization.Encoding.PEM))
    except OSError as exc:
        raise StartError(
            f"cannot write the page's own certificate to {directory}: {exc.strerror}; "
            "make the directory writable for this user or configure certificate and key"
        ) from None
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """SHA-256 in the form browsers show it; raises StartError."""
    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as exc:
        raise StartError(f"TLS certificate {certificate}: {exc}; it has to be PEM") from None
    return read.fingerprint(hashes.SHA256()).hex(":").upper()


def _certificate(
    private: ec.EllipticCurvePrivateKey, names: tuple[str, ...], now: dt.datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "remoteconnect AMS")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), False)  # noqa: FBT003 - critical
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)  # noqa: FBT003 - critical
        .sign(private, hashes.SHA256())
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
