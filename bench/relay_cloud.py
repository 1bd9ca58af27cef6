"""What every benchmark of the relay needs: keys, certificate, tokens, and relayd as a process."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.wire.admission import Admission, key_id_of, load_key, mint
from rclib.wire.control import RelayLeg
from rclib.wire.ids import RelayId, SessionId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rclib.tunnel.enrolment import Identity
    from rclib.wire.identity import Side

RELAY: Final = RelayId("bench")


def session_id(number: int) -> SessionId:
    """Name the session of one pair."""
    letters = "abcdefghijkmnpqr"
    return SessionId("ses_" + "".join(letters[number >> shift & 15] for shift in range(0, 64, 4)))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def relayd_drops(status_port: int) -> dict[str, float]:
    """Messages a relay has dropped since it was started, by reason."""
    with urllib.request.urlopen(f"http://127.0.0.1:{status_port}/metrics", timeout=10) as said:
        lines = said.read().decode().splitlines()
    name = "relayd_dropped_messages_total"
    found = (re.match(rf'{name}{{reason="(\w+)"}} (\S+)', line) for line in lines)
    return {each[1]: float(each[2]) for each in found if each}


class Cloud:
    """Keys, certificate and configuration of relayd."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        authority = Ed25519PrivateKey.generate()
        self._token_key = load_key(pem_of(authority))
        (directory / "token.pem").write_bytes(
            authority.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        self.certificate = directory / "relay.pem"
        self.key = directory / "relay.key"
        command = [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=bench"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(self.key), "-out", str(self.certificate)),
        ]
        subprocess.run(command, check=True, capture_output=True)
        self.status_port = free_port()
        """Of the relay."""
        self._config = directory / "relayd.toml"
        self._config.write_text(
            f'relay = "{RELAY}"\ntoken_keys = ["token.pem"]\nlisten = "127.0.0.1:0"\n'
            'certificate = "relay.pem"\nkey = "relay.key"\n'
            # A load generator is one address with all its legs at once.
            "max_unadmitted_per_address = 1000\naccept_rate_per_s = 1000\naccept_burst = 1000\n"
            f'[status]\nlisten = "127.0.0.1:{self.status_port}"\n'
        )

    @contextmanager
    def relayd(self) -> Iterator[tuple[int, str]]:
        """Run a relay; yields its pid and address."""
        command = [sys.executable, "-m", "relayd", "--config", str(self._config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            try:
                if process.stderr is None:
                    raise AssertionError("stderr is a pipe")
                ready = json.loads(process.stderr.readline())
                port = ready["status"].rsplit(" ", 1)[1]
                # A full pipe would stop the relay.
                threading.Thread(target=process.stderr.read, daemon=True).start()
                yield process.pid, f"wss://127.0.0.1:{port}/relay"
            finally:
                process.terminate()
                process.wait()

    def leg(self, side: Side, identity: Identity, url: str, session: SessionId) -> RelayLeg:
        """Name one leg, with a token for ten minutes."""
        now = int(time.time())
        admission = Admission(session, side, identity.public, RELAY, now - 1, now + 600)
        return RelayLeg(RELAY, url, mint(admission, self._token_key, key_id_of(self._token_key)))


def pem_of(key: Ed25519PrivateKey) -> bytes:
    """Write a private key as PEM, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
