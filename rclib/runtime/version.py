"""Which release of the suite this is."""

from __future__ import annotations

from functools import cache
from importlib import metadata

DISTRIBUTION = "remoteconnect"


@cache
def suite_version() -> str:
    """Return the version of the installed distribution: it stands in pyproject.toml alone."""
    return metadata.version(DISTRIBUTION)
