from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os
from rcc.__main__ import without_default_trust
with without_default_trust():
    import aiohttp.connector
assert aiohttp.connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"] == 0
assert os.environ["SSL_CERT_DIR"] == "/etc/of/mine"
assert "SSL_CERT_FILE" not in os.environ
"""


def test_no_certificates_are_read_for_a_context_that_nobody_uses() -> None:
    surroundings = {**os.environ, "SSL_CERT_DIR": "/etc/of/mine"}
    surroundings.pop("SSL_CERT_FILE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
