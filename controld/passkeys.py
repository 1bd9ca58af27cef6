"""Passkeys (WebAuthn level 3): what an authenticator is asked and whether its answer is good.

A passkey proves possession and, by its own PIN or fingerprint, the person: it is both factors.
Challenges are sealed, not stored, so that asking for one costs nothing; each is spent once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controld.records import User
    from controld.sealing import Sealer

CHALLENGE_MS: Final = 5 * 60 * 1000
LOGIN: Final = "passkey login"
REGISTRATION: Final = "passkey of "
_VERIFIED: Final = UserVerificationRequirement.REQUIRED


@dataclass(frozen=True, slots=True)
class Site:
    """Who we are to a browser: passkeys of another site are none of ours."""

    host: str
    origin: str


@dataclass(frozen=True, slots=True)
class Passkey:
    credential_id: bytes
    public_key: bytes
    """COSE."""
    sign_count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser sent, before anything of it is believed."""

    text: str
    credential_id: bytes
    challenge: bytes


def spelt(credential_id: bytes) -> str:
    return bytes_to_base64url(credential_id)


def unspelt(text: str) -> bytes:
    """Raises ValueError."""
    return base64url_to_bytes(text)


def new_challenge(sealer: Sealer, purpose: str, now_ms: int) -> bytes:
    return sealer.seal(str(now_ms + CHALLENGE_MS), purpose)


def is_own_challenge(sealer: Sealer, challenge: bytes, purpose: str, now_ms: int) -> bool:
    """Whether we asked this, for this, and not too long ago."""
    expires = sealer.unseal(challenge, purpose)
    return expires is not None and int(expires) > now_ms


def registration_options(site: Site, user: User, known: Iterable[bytes], challenge: bytes) -> str:
    """For `navigator.credentials.create`, as JSON text."""
    options = generate_registration_options(
        rp_id=site.host,
        rp_name="remoteconnect",
        user_name=user.name,
        user_id=user.id.encode(),
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_VERIFIED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
    )
    return options_to_json(options)


def login_options(site: Site, challenge: bytes) -> str:
    """For `navigator.credentials.get`; the authenticator knows who its user is."""
    options = generate_authentication_options(
        rp_id=site.host, challenge=challenge, user_verification=_VERIFIED
    )
    return options_to_json(options)


def read_answer(text: str) -> Answer | None:
    """The parts that say which passkey and which challenge; None for what is no answer."""
    try:
        fields = json.loads(text)
        client = json.loads(base64url_to_bytes(fields["response"]["clientDataJSON"]))
        return Answer(
            text, base64url_to_bytes(fields["rawId"]), base64url_to_bytes(client["challenge"])
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def check_registration(answer: Answer, site: Site) -> Passkey | None:
    """The new passkey; None if the answer is not good."""
    try:
        verified = verify_registration_response(
            credential=answer.text,
            expected_challenge=answer.challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, IndexError, EOFError):
        return None
    return Passkey(verified.credential_id, verified.credential_public_key, verified.sign_count)


def check_login(answer: Answer, passkey: Passkey, site: Site) -> int | None:
    """The passkey's new counter; None if the answer is not good, or the passkey was copied."""
    try:
        verified = verify_authentication_response(
            credential=answer.text,
            expected_challenge=answer.challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, IndexError, EOFError):
        return None
    return verified.new_sign_count
