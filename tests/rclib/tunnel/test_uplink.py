from __future__ import annotations

import ssl
from datetime import UTC, datetime

import pytest

from rclib.tunnel.uplink import why_unreachable

YET_VALID, EXPIRED, OTHER_NAME = 9, 10, 62


def refused(code: int) -> Exception:
    """As aiohttp passes it on."""
    fault = ssl.SSLCertVerificationError(1, "certificate verify failed")
    fault.verify_code = code
    error = ConnectionError("cannot connect")
    error.__cause__ = fault
    return error


@pytest.mark.parametrize("code", [YET_VALID, EXPIRED])
def test_where_a_certificate_is_not_valid_now_the_clock_is_told(code: int) -> None:
    said = why_unreachable(refused(code))
    assert said.startswith("cannot connect; this machine's clock says ")
    assert f"{datetime.now(UTC):%Y}" in said


def test_another_fault_is_told_as_it_is() -> None:
    assert why_unreachable(refused(OTHER_NAME)) == "cannot connect"
    assert why_unreachable(TimeoutError()) == "TimeoutError"
