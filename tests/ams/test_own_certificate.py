from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from ams import own_certificate
from rclib.runtime.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_made_once_and_names_where_the_page_is(tmp_path: Path) -> None:
    certificate, key = own_certificate.ensure(tmp_path, ("192.168.1.1", "gateway.plant"))
    first = own_certificate.fingerprint(certificate)
    own_certificate.ensure(tmp_path, ("192.168.1.1",))
    assert own_certificate.fingerprint(certificate) == first
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions
    (listed,) = [each.value for each in names if each.oid == x509.SubjectAlternativeName.oid]
    assert isinstance(listed, x509.SubjectAlternativeName)
    assert listed.get_values_for_type(x509.DNSName) == ["gateway.plant"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_half_a_pair_is_made_anew(tmp_path: Path) -> None:
    certificate, key = own_certificate.ensure(tmp_path, ("localhost",))
    first = own_certificate.fingerprint(certificate)
    key.unlink()
    own_certificate.ensure(tmp_path, ("localhost",))
    assert own_certificate.fingerprint(certificate) != first


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="own certificate"):
        own_certificate.ensure(tmp_path / "file" / "below", ("localhost",))


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_text("nonsense")
    with pytest.raises(StartError, match="has to be PEM"):
        own_certificate.fingerprint(tmp_path / "tls.pem")
