"""OpenID Connect, authorization code flow with PKCE: what is asked, and what of an answer is true.

What a provider says about a person comes down to one thing here: (issuer, subject). Its e-mail
and name claims are never read; at many providers a person sets them.

1. `begin` makes the address the browser is sent to; the `Flow` waits sealed in its cookie.
2. `code_of` takes the code of a browser that comes back, if it went out with this flow.
3. `subject_of` believes an ID token for its signature, issuer, audience, times and nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from controld.codes import new_token
from controld.oidc_url import is_safe_url
from rclib.wire.ids import UserId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from joserfc.jwk import Key

    from controld.config import ProviderConfig
    from controld.sealing import Sealer

FLOW_MS: Final = 10 * 60 * 1000
LEEWAY_S: Final = 60
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384")
"""Public keys only: with a shared secret, whoever can check a token can make one."""
MAX_SUBJECT: Final = 255  # OpenID Connect Core, section 2
_PURPOSE: Final = "oidc flow"

EndpointUrl = Annotated[str, msgspec.Meta(max_length=2000)]


class ProviderError(Exception):
    """Says in a sentence why a provider's answer cannot be used."""


class ProviderDocument(msgspec.Struct, frozen=True):
    """What of OpenID Connect Discovery is used; a provider publishes more."""

    issuer: str
    authorization_endpoint: EndpointUrl
    token_endpoint: EndpointUrl
    jwks_uri: EndpointUrl
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class TokenAnswer(msgspec.Struct, frozen=True):
    """What of a token endpoint's answer is used."""

    id_token: Annotated[str, msgspec.Meta(max_length=16_000)]


class Flow(msgspec.Struct, frozen=True):
    """One way to the provider and back; kept by the browser that went, sealed."""

    provider: str
    state: str
    nonce: str
    verifier: str
    linking: UserId | None
    """Whose account is being linked; None for a login."""
    expires_ms: int


_document_decoder: Final = msgspec.json.Decoder(ProviderDocument)
_token_decoder: Final = msgspec.json.Decoder(TokenAnswer)
_flow_decoder: Final = msgspec.json.Decoder(Flow)


def read_document(body: bytes, issuer: str) -> ProviderDocument:
    """Raises ProviderError; a document of another issuer is no document of this one."""
    try:
        document = _document_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise ProviderError(f"its discovery document cannot be read: {exc}") from None
    if document.issuer != issuer:
        raise ProviderError(f"its discovery document is of issuer {document.issuer[:80]!r}")
    for url in (document.authorization_endpoint, document.token_endpoint, document.jwks_uri):
        if not is_safe_url(url):
            raise ProviderError(f"its discovery document names {url[:80]!r}, which is not HTTPS")
    return document


def read_keys(body: bytes) -> Sequence[Key]:
    """The keys that can be used; raises ProviderError for no key set."""
    try:
        listed = msgspec.json.decode(body, type=dict[str, Any])["keys"]
        entries = [dict(each) for each in listed]
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError):
        raise ProviderError("its keys cannot be read") from None
    keys = []
    for entry in entries:
        if entry.get("use", "sig") != "sig" or entry.get("kty") not in {"RSA", "EC"}:
            continue
        try:
            keys.append(jwk.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # of no kind we know; another may fit
    return keys


def read_token_answer(body: bytes) -> str:
    """The ID token, before anything of it is believed; raises ProviderError."""
    try:
        return _token_decoder.decode(body).id_token
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ProviderError("it gave no ID token") from None


def begin(
    config: ProviderConfig,
    document: ProviderDocument,
    redirect_uri: str,
    now_ms: int,
    linking: UserId | None = None,
) -> tuple[Flow, str]:
    """A new flow, and the address the browser is sent to."""
    flow = Flow(
        provider=config.id,
        state=new_token(),
        nonce=new_token(),
        verifier=new_token(),
        linking=linking,
        expires_ms=now_ms + FLOW_MS,
    )
    digest = hashlib.sha256(flow.verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": config.client_id,
        "redirect_uri": redirect_uri,
        "scope": "openid",
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    if linking is not None:
        query["prompt"] = "login"  # who links shows that the account there is theirs, too
    mark = "&" if urlsplit(document.authorization_endpoint).query else "?"
    return flow, document.authorization_endpoint + mark + urlencode(query)


def seal(sealer: Sealer, flow: Flow) -> str:
    sealed = sealer.seal(msgspec.json.encode(flow).decode(), _PURPOSE)
    return base64.urlsafe_b64encode(sealed).decode()


def unseal(sealer: Sealer, text: str, now_ms: int) -> Flow | None:
    """The flow this browser went out with; None if there is none, or it took too long."""
    try:
        opened = sealer.unseal(base64.urlsafe_b64decode(text), _PURPOSE)
    except ValueError:
        return None
    flow = _flow_decoder.decode(opened) if opened is not None else None
    return flow if flow is not None and flow.expires_ms > now_ms else None


def code_of(
    query: Mapping[str, str], flow: Flow, config: ProviderConfig, document: ProviderDocument
) -> str:
    """The code of a browser that came back from the provider; raises ProviderError."""
    if not hmac.compare_digest(query.get("state", "").encode(), flow.state.encode()):
        raise ProviderError("the answer belongs to another attempt")
    issuer = query.get("iss")
    if issuer is None and document.authorization_response_iss_parameter_supported:
        raise ProviderError("the answer does not say who it is from")
    if issuer is not None and issuer != config.issuer:
        raise ProviderError("the answer is from another provider")
    if "error" in query:
        raise ProviderError(f"it answered {query['error'][:80]!r}")
    code = query.get("code", "")
    if not code:
        raise ProviderError("it gave no code")
    return code


def key_id_of(id_token: str) -> str | None:
    """Which key a token says it is signed with; raises ProviderError."""
    try:
        header = msgspec.json.decode(_unspelt(id_token.split(".", 1)[0]), type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ProviderError("its ID token cannot be read") from None
    found = header.get("kid")
    return found if isinstance(found, str) else None


def subject_of(
    id_token: str, keys: Sequence[Key], config: ProviderConfig, nonce: str, now_ms: int
) -> str:
    """Who the provider says this is (OpenID Connect Core, 3.1.3.7); raises ProviderError."""
    wanted = key_id_of(id_token)
    fitting = [key for key in keys if wanted is None or key.kid == wanted]
    if len(fitting) != 1:
        raise ProviderError("its ID token is signed with a key it does not publish")
    registry = jwt.JWTClaimsRegistry(
        now=now_ms // 1000,
        leeway=LEEWAY_S,
        iss={"essential": True, "value": config.issuer},
        sub={"essential": True},
        aud={"essential": True, "value": config.client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        claims = jwt.decode(id_token, fitting[0], algorithms=ALGORITHMS).claims
        registry.validate(claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise ProviderError(f"its ID token is not good: {exc}") from None
    if claims["iss"] != config.issuer or claims["nonce"] != nonce:
        raise ProviderError("its ID token names several")  # a list that has ours among others
    audience = claims["aud"]
    is_for_others_too = isinstance(audience, list) and len(audience) > 1
    if claims.get("azp", None if is_for_others_too else config.client_id) != config.client_id:
        raise ProviderError("its ID token was made for another program")
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.isprintable() or len(subject) > MAX_SUBJECT:
        raise ProviderError("its ID token names nobody")
    return subject


def _unspelt(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
