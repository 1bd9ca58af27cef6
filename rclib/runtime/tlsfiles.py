"""TLS contexts from files, with the settings every end of the suite uses."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return a server's context, TLS 1.2 or newer; `cert` holds the chain. Raises StartError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as exc:
        raise StartError(
            f"TLS certificate {cert} and key {key} cannot be used together: {_reason(exc)}; "
            "both have to be PEM, and the key the one the certificate was made for"
        ) from None
    except OSError as exc:
        raise _unreadable(f"TLS certificate {cert} or key {key}", exc) from None
    except ValueError as exc:
        raise StartError(f"TLS key {key}: {exc}") from None
    return context


class CertificateWatch:
    """Brings a renewed certificate into a context that is in use; connections that are up stay."""

    def __init__(self, context: ssl.SSLContext, cert: Path, key: Path) -> None:
        self._context = context
        self._files = cert, key
        self._seen = self._state()

    def refresh(self) -> bool:
        """Load the files if they changed; False: they did not.

        Raises StartError, once per change, and leaves the context as it was.
        """
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state
        server_context(*self._files)  # half a renewal must not spoil what serves
        self._context.load_cert_chain(*self._files, password=_no_password)
        return True

    def _state(self) -> list[tuple[int, int, int] | None]:
        return [_identity_of(path) for path in self._files]


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a client's context that checks the server against `ca_file`, None: the system's CAs.

    Raises StartError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs()
    else:
        add_authority(context, ca_file)
    return context


def add_authority(context: ssl.SSLContext, ca_file: Path) -> None:
    """Let a client's context trust one more CA. Raises StartError."""
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as exc:
        raise StartError(f"CA file {ca_file} holds no PEM certificate: {_reason(exc)}") from None
    except OSError as exc:
        raise _unreadable(f"CA file {ca_file}", exc) from None


def _identity_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _no_password() -> str:
    """Keep OpenSSL from asking on the terminal, which no daemon has."""
    raise ValueError("is encrypted; store it decrypted, with mode 0600")


def _unreadable(what: str, exc: OSError) -> StartError:
    return StartError(f"{what}: {exc.strerror}; name existing files this program may read")


def _reason(exc: ssl.SSLError) -> str:
    return exc.reason or str(exc)
