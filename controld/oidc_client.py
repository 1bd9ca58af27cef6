"""The providers of identities that are configured, and talking to them over HTTPS.

Only controld asks, at addresses the provider's own document names; redirects are not followed,
answers are bounded in time and size, and one that fails lets nobody in.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus

import aiohttp

from controld import oidc
from controld.oidc import ProviderDocument, ProviderError
from rclib.runtime.logs import RateLimitedLogger
from rclib.runtime.tlsfiles import client_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from joserfc.jwk import Key

    from controld.config import ProviderConfig
    from rclib.runtime.logs import Logger

ASK_S: Final = 3
MAX_ANSWER: Final = 256 * 1024
DOCUMENT_MS: Final = 60 * 60 * 1000
FAILED_MS: Final = 5_000
"""A provider that is away is not asked again at once, however often the login page is used."""
KEYS_AGAIN_MS: Final = 60_000
PROVIDER_FAILED: Final = "provider_failed"


class Provider:
    """One of them, with what it published."""

    def __init__(self, config: ProviderConfig, base: Path, now_ms: Callable[[], int]) -> None:
        """Raises StartError for the CA file."""
        self.config = config
        self._tls = client_context(base / config.ca_file if config.ca_file else None)
        self._now_ms = now_ms
        self._http: aiohttp.ClientSession | None = None
        self._document: ProviderDocument | None = None
        self._document_until_ms = 0
        self._failed: ProviderError | None = None
        self._failed_until_ms = 0
        self._keys: Sequence[Key] = ()
        self._keys_at_ms = 0

    async def document(self) -> ProviderDocument:
        """Raises ProviderError."""
        now_ms = self._now_ms()
        if self._document is not None and now_ms < self._document_until_ms:
            return self._document
        if self._failed is not None and now_ms < self._failed_until_ms:
            raise self._failed
        url = self.config.issuer.removesuffix("/") + "/.well-known/openid-configuration"
        try:
            document = oidc.read_document(await self._ask("GET", url), self.config.issuer)
        except ProviderError as exc:
            self._failed, self._failed_until_ms = exc, now_ms + FAILED_MS
            raise
        self._document, self._document_until_ms = document, now_ms + DOCUMENT_MS
        return document

    async def redeem(self, code: str, verifier: str, redirect_uri: str) -> str:
        """The ID token for a code, before anything of it is believed; raises ProviderError."""
        document = await self.document()
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        secret = self.config.client_secret
        if secret is None:
            fields["client_id"] = self.config.client_id
        elif "client_secret_basic" in document.token_endpoint_auth_methods_supported:
            # RFC 6749, section 2.3.1: each part is form-encoded first.
            pair = f"{quote_plus(self.config.client_id)}:{quote_plus(secret.reveal())}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            fields |= {"client_id": self.config.client_id, "client_secret": secret.reveal()}
        body = await self._ask("POST", document.token_endpoint, fields, headers)
        return oidc.read_token_answer(body)

    async def subject_of(self, id_token: str, nonce: str) -> str:
        """Who it is; keys are looked up anew for one not seen yet. Raises ProviderError."""
        document, now_ms = await self.document(), self._now_ms()
        wanted = oidc.key_id_of(id_token)
        is_known = any(wanted is None or key.kid == wanted for key in self._keys)
        if not is_known and now_ms >= self._keys_at_ms + KEYS_AGAIN_MS:
            self._keys_at_ms = now_ms
            self._keys = oidc.read_keys(await self._ask("GET", document.jwks_uri))
        return oidc.subject_of(id_token, self._keys, self.config, nonce, now_ms)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _ask(
        self,
        method: str,
        url: str,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        if self._http is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=8)
            timeout = aiohttp.ClientTimeout(total=ASK_S)
            self._http = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                trust_env=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        headers = {"Accept": "application/json"} | (headers or {})
        try:
            async with self._http.request(
                method, url, data=fields, headers=headers, allow_redirects=False
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise ProviderError("its answer is too long")
                if response.status != HTTPStatus.OK:
                    raise ProviderError(f"it answered with status {response.status}")
                return bytes(body)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as exc:
            raise ProviderError(f"it cannot be reached: {exc or 'no answer in time'}") from None


class Providers:
    """All of them, by the name that stands in addresses."""

    def __init__(
        self,
        configs: Iterable[ProviderConfig],
        base: Path,
        now_ms: Callable[[], int],
        log: Logger,
    ) -> None:
        """Raises StartError."""
        self._all = {config.id: Provider(config, base, now_ms) for config in configs}
        self._log = RateLimitedLogger(log)

    def get(self, name: str) -> Provider | None:
        return self._all.get(name)

    def note_failure(self, provider: Provider, why: ProviderError) -> None:
        """Say why a login with it did not work, once in a while: strangers can provoke it."""
        name = provider.config.id
        self._log.warning(PROVIDER_FAILED, once_per=name, provider=name, reason=str(why))

    async def close(self) -> None:
        for provider in self._all.values():
            await provider.close()
