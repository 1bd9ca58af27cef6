"""Codes of an authenticator app (RFC 6238): six digits, thirty seconds, each at most once."""

from __future__ import annotations

import hmac
from typing import Final

import pyotp

STEP_S: Final = 30
TOLERANCE: Final = 1
"""Steps before and after the clock's own: a phone may be that wrong."""
DIGITS: Final = 6


def new_secret() -> str:
    """160 random bits in base32 (RFC 4226 §4)."""
    return pyotp.random_base32()


def uri_of(secret: str, name: str, issuer: str) -> str:
    """What the app reads as a QR code (otpauth://)."""
    return pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=name, issuer_name=issuer)


def step_of(secret: str, code: str, now_ms: int, last_step: int) -> int | None:
    """Which step the code is of, if it is one of now and newer than `last_step`."""
    otp = pyotp.TOTP(secret, interval=STEP_S)
    current = now_ms // 1000 // STEP_S
    found = None
    for step in range(current - TOLERANCE, current + TOLERANCE + 1):
        right = otp.generate_otp(step)
        # Each is compared, so that the time taken does not tell which one it was.
        if hmac.compare_digest(right.encode(), code.encode()) and step > last_step:
            found = step
    return found
