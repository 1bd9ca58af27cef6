"""A provider of identities (OpenID Connect), small but whole, that can also lie."""

from __future__ import annotations

import base64
import hashlib
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwk, jwt

from controld.initialise import CONFIG_NAME
from rclib.runtime.clock import wall_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from joserfc.jwk import Key

CLIENT, SECRET = "remoteconnect", "s3cret:with/odd chars"


def new_key(name: str) -> Key:
    return jwk.ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


@dataclass
class Provider:
    """Everybody who comes is `subject`; tokens are as told."""

    issuer: str = ""
    subject: str = "248289761001"
    claims: dict[str, Any] = field(default_factory=dict)
    """Over what is true."""
    header: dict[str, Any] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=lambda: [new_key("k1")])
    signs_with: Key | None = None
    """None: the newest of the published."""
    document: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)
    """Queries of the browsers that came."""
    redeemed: list[str] = field(default_factory=list)
    key_looks: int = 0
    is_away: bool = False
    takes_codes_again: bool = False
    redirects_token_to: str = ""
    id_token: str | None = None
    """In place of a made one."""

    async def discovery(self, request: web.Request) -> web.Response:
        del request
        if self.is_away:
            raise web.HTTPServiceUnavailable
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
            | self.document
        )

    async def published(self, request: web.Request) -> web.Response:
        del request
        self.key_looks += 1
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self.seen.append(asked)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        raise web.HTTPFound(f"{asked['redirect_uri']}?{back}")

    async def token(self, request: web.Request) -> web.Response:
        if self.redirects_token_to:
            raise web.HTTPTemporaryRedirect(self.redirects_token_to)
        form = await request.post()
        named = base64.b64encode(f"{CLIENT}:{'s3cret%3Awith%2Fodd+chars'}".encode()).decode()
        asked = self.codes.get(str(form["code"]))
        if not self.takes_codes_again:
            self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            request.headers.get("Authorization") != f"Basic {named}"
            or asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.redeemed.append(str(form["code"]))
        id_token = self.id_token or self.sign(asked["nonce"])
        return web.json_response(
            {"access_token": "opaque", "token_type": "Bearer", "id_token": id_token}
        )

    def sign(self, nonce: str) -> str:
        key = self.signs_with or self.keys[-1]
        now_s = wall_ms() // 1000
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": CLIENT,
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": nonce,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256", "kid": key.kid} | self.header
        header = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


def add_provider(data: Path, name: str, issuer: str) -> None:
    """Let a controld that starts on this data directory know a provider."""
    secret = data / "provider-secret"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    with (data / CONFIG_NAME).open("a", encoding="utf-8") as config:
        config.write(
            f'\n[[providers]]\nid = "{name.lower()}"\nname = "{name}"\nissuer = "{issuer}"\n'
            f'client_id = "{CLIENT}"\nclient_secret = "{secret.name}"\n'
        )


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.add_routes(
        [
            web.get("/.well-known/openid-configuration", provider.discovery),
            web.get("/keys", provider.published),
            web.get("/authorize", provider.authorize),
            web.post("/token", provider.token),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
