"""The way out of the plant's or the technician's network: whom to trust, and through which proxy.

Control link, enrolment and relay legs all leave by it, so that one setting serves them all.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from rclib.runtime.errors import StartError
from rclib.runtime.net import check_proxy
from rclib.runtime.tlsfiles import client_context
from rclib.tunnel.name_lookup import AddressBook

if TYPE_CHECKING:
    from rclib.runtime.secret import SecretStr


# openssl/x509_vfy.h: the certificate is not yet valid, or has expired.
_NOT_VALID_NOW: Final = frozenset({9, 10})


@dataclass(frozen=True, slots=True)
class Uplink:
    """TLS inside; around it perhaps an HTTP proxy that is asked to CONNECT (RFC 9110 §9.3.6)."""

    tls: ssl.SSLContext
    proxy: str | None = None
    """http://HOST:PORT, with the percent-encoded login in front of the host if it wants one."""
    names: AddressBook = field(default_factory=AddressBook)

    def note_right(self, url: str, peer: tuple[object, ...] | None) -> None:
        """Remember where the way to this server began: its own address, or the proxy's."""
        name = urlsplit(self.proxy or url).hostname
        if peer is not None and name is not None:
            self.names.led_right(name, str(peer[0]))

    def __repr__(self) -> str:
        """Without the login."""
        return f"Uplink(proxy={'yes' if self.proxy else 'no'})"


def open_uplink(
    ca_file: str | None, proxy: str | None = None, proxy_login: SecretStr | None = None
) -> Uplink:
    """Make it from configuration; `proxy_login` is USER:PASSWORD. Raises StartError."""
    tls = client_context(Path(ca_file) if ca_file else None)
    if proxy is None:
        if proxy_login is not None:
            raise StartError("proxy_login is set, but proxy is not; name it like http://proxy:3128")
        return Uplink(tls)
    check_proxy(proxy)
    if proxy_login is None:
        return Uplink(tls, proxy)
    user, colon, password = proxy_login.reveal().strip().partition(":")
    if not colon or not user:
        raise StartError("proxy_login is to be USER:PASSWORD")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return Uplink(tls, proxy.replace("http://", f"http://{login}@", 1))


def is_out_of_date(error: Exception) -> bool:
    """Whether it failed for a certificate that is not valid at this machine's time of day."""
    fault = error.__cause__ if error.__cause__ is not None else error
    return isinstance(fault, ssl.SSLCertVerificationError) and fault.verify_code in _NOT_VALID_NOW


def why_unreachable(error: Exception) -> str:
    """Say what went wrong; where a certificate is not valid now, also what `now` means here."""
    said = str(error) or type(error).__name__
    if is_out_of_date(error):
        today = datetime.now(UTC)
        said += f"; this machine's clock says {today:%Y-%m-%d %H:%M} UTC: if that is wrong, set it"
    return said
