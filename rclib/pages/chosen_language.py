"""The language of a request: asked for in the address, remembered in a cookie, or the browser's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rclib.pages.language import LANGUAGES, Language, choose

if TYPE_CHECKING:
    from aiohttp import web

    from rclib.pages.language import Words

PARAMETER: Final = "lang"
_COOKIE: Final = "lang"
_REMEMBERED_S: Final = 365 * 24 * 3600


def language_of(request: web.Request, words: Words) -> Language:
    return choose(
        words,
        request.query.get(PARAMETER, ""),
        request.cookies.get(_COOKIE, ""),
        request.headers.get("Accept-Language", ""),
    )


def remember_language(request: web.Request, response: web.StreamResponse, *, secure: bool) -> None:
    """Keep what the address asked for, if it did."""
    wanted = request.query.get(PARAMETER)
    if wanted in LANGUAGES:
        response.set_cookie(
            _COOKIE,
            wanted,
            max_age=_REMEMBERED_S,
            httponly=True,
            secure=secure,
            samesite="Lax",
        )
