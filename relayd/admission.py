"""Who may be a leg: token, then proof of possession of the key it names. Pure, asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rclib.wire import relay
from rclib.wire.admission import (
    Admission,
    Revocation,
    TokenRefusedError,
    verify,
    verify_revocation,
)
from rclib.wire.identity import is_signed_by, relay_statement, token_digest
from rclib.wire.relay import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joserfc.jwk import OKPKey

    from rclib.wire.admission import KeyId
    from rclib.wire.ids import Nonce, RelayId


class RefusedError(Exception):
    """The leg is not admitted; it is told both."""

    def __init__(self, reason: CloseReason, detail: str) -> None:
        super().__init__(f"{reason.name}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Claim:
    """What a valid token says, until its key has signed the connection's nonce."""

    admission: Admission
    token_digest: bytes


class Doorkeeper:
    """Checks legs for one relay. All times are UTC seconds, as tokens carry them."""

    def __init__(
        self,
        relay_id: RelayId,
        keys: Mapping[KeyId, OKPKey],
        new_nonce: Callable[[], Nonce],
    ) -> None:
        self._relay_id = relay_id
        self._keys = keys
        self.new_nonce: Final = new_nonce

    def hello(self, hello: relay.Hello, wall_s: float) -> Claim:
        """Check version and token. Raises RefusedError."""
        if hello.version != relay.PROTOCOL_VERSION:
            raise RefusedError(
                CloseReason.VERSION,
                f"this relay speaks version {relay.PROTOCOL_VERSION}, not {hello.version}",
            )
        admission = self._verified(hello.token, wall_s)
        return Claim(admission, token_digest(hello.token))

    def proof(self, claim: Claim, nonce: Nonce, proof: relay.Proof, wall_s: float) -> Admission:
        """Check who signed the connection's nonce; raises RefusedError."""
        signed = relay_statement(self._relay_id, nonce, claim.token_digest)
        if not is_signed_by(claim.admission.key, signed, proof.signature):
            raise RefusedError(
                CloseReason.PROOF_INVALID, "not signed with the key that the token names"
            )
        if claim.admission.exp <= wall_s:
            raise RefusedError(CloseReason.TOKEN_EXPIRED, "expired during admission")
        return claim.admission

    def renew(self, held: Admission, renew: relay.Renew, wall_s: float) -> Admission:
        """Check a token that is to lengthen `held`; raises RefusedError."""
        fresh = self._verified(renew.token, wall_s)
        if (fresh.sub, fresh.side, fresh.key) != (held.sub, held.side, held.key):
            raise RefusedError(
                CloseReason.TOKEN_INVALID,
                "the fresh token is for another session, side or key; open a leg of its own for it",
            )
        return fresh

    def revoke(self, revoke: relay.Revoke, wall_s: float) -> Revocation:
        """Check the control plane's word that a session is over; raises RefusedError."""
        try:
            return verify_revocation(revoke.revocation, self._keys, self._relay_id, wall_s)
        except TokenRefusedError as exc:
            raise RefusedError(exc.reason, exc.detail) from None

    def _verified(self, token: str, wall_s: float) -> Admission:
        try:
            return verify(token, self._keys, self._relay_id, wall_s)
        except TokenRefusedError as exc:
            raise RefusedError(exc.reason, exc.detail) from None
