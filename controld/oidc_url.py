"""Which addresses of a provider of identities are good enough to be asked."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_safe_url(url: str) -> bool:
    """Whether it is HTTPS; plain HTTP only within this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_here = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_here)
    )
