"""The relays that are compared: each as a process on one core, each able to open ready pairs."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import relay_wire as wire
from bench.measure import pin, require
from bench.relay_cloud import free_port, relayd_drops
from bench.relay_load import Pair, Window
from rclib.wire.admission import Admission, key_id_of, load_key, mint
from rclib.wire.identity import Side, relay_statement, sign, token_digest
from rclib.wire.ids import IdentityKey, RelayId, SessionId, make_id
from rclib.wire.relay import PROTOCOL_VERSION, Challenge, Hello, Proof, Ready

if TYPE_CHECKING:
    from collections.abc import Sequence

DERPER: Final = "tailscale.com/cmd/derper@v1.80.3"
RELAY_CPU, LOAD_CPU = 1, 0
_START_S: Final = 15.0
_DERP_QUEUE: Final = 24
"""Packets; derper drops the oldest where more than 32 wait for one client."""


class Peer(ABC):
    """One relay under test."""

    name: str

    def window(self, size: int) -> Window:  # noqa: ARG002 - others count in packets
        """What gives this relay its best figure."""
        return Window(256 * 1024)

    def shared_window(self, size: int, pairs: int) -> Window:
        """The same for one of many pairs, down to two packets each."""
        return Window(max(2 * size, self.window(size).size // max(1, pairs // 4)))

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate = directory / "cert.pem"
        self.key = directory / "key.pem"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return how the relay is started on `port`."""

    @abstractmethod
    def pair(self, size: int) -> Pair:
        """Open two connections and make them one channel."""

    def start(self) -> None:
        log = (self.directory / f"{self.name}.log").open("wb")
        self.process = subprocess.Popen(
            self.command(),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "GOMAXPROCS": "1"},
        )
        log.close()
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                pin(self.process.pid, RELAY_CPU)
                return
        said = (self.directory / f"{self.name}.log").read_text(errors="replace")[-2000:]
        raise SystemExit(f"{self.name} did not start:\n{said}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def pids(self) -> tuple[int, ...]:
        return () if self.process is None else (self.process.pid,)

    def connect(self) -> ssl.SSLSocket:
        return wire.connect(self.port, self.certificate)


class Relayd(Peer):
    """Ours: bursts, admission and all."""

    name = "relayd"
    relay = RelayId("relay0")

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        private = Ed25519PrivateKey.generate()
        self._key = load_key(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (directory / "token.pem").write_bytes(
            private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        self._identity = Ed25519PrivateKey.generate()
        self._status = free_port()

    def command(self) -> Sequence[str]:
        config = self.directory / "relayd.toml"
        config.write_text(
            f'relay = "{self.relay}"\nlisten = "127.0.0.1:{self.port}"\n'
            'certificate = "cert.pem"\nkey = "key.pem"\ntoken_keys = ["token.pem"]\n'
            "max_unadmitted_per_address = 1000\naccept_rate_per_s = 10000\naccept_burst = 10000\n"
            f'[status]\nlisten = "127.0.0.1:{self._status}"\n'
        )
        return [sys.executable, "-m", "relayd", "--config", str(config)]

    def drops(self) -> dict[str, float]:
        """Messages dropped since it was started, by reason."""
        return relayd_drops(self._status)

    def leg(self, session: SessionId, side: Side) -> ssl.SSLSocket:
        sock = self.connect()
        wire.upgrade(sock, "/relay")
        public = IdentityKey(self._identity.public_key().public_bytes_raw())
        now = int(time.time())
        admission = Admission(session, side, public, self.relay, now - 1, now + 600)
        token = mint(admission, self._key, key_id_of(self._key))
        wire.send_frame(sock, Hello(PROTOCOL_VERSION, token))
        challenge = wire.read_frame(sock)
        if not isinstance(challenge, Challenge):
            raise ConnectionError(f"relayd answered {challenge}")
        statement = relay_statement(self.relay, challenge.nonce, token_digest(token))
        wire.send_frame(sock, Proof(sign(self._identity, statement)))
        return sock

    def joined(self) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
        session = SessionId(make_id("ses", os.urandom(10)))
        legs = tuple(self.leg(session, side) for side in Side)
        for sock in legs:
            while not (isinstance(ready := wire.read_frame(sock), Ready) and ready.partner_present):
                pass
        return legs[0], legs[1]

    def pair(self, size: int) -> Pair:
        return Pair(*self.joined(), wire.burst_chunk(size), self.window(size))


class Reference(Peer):
    """Twenty lines on `websockets` and uvloop."""

    name = "websockets"
    _made = 0

    def command(self) -> Sequence[str]:
        here = Path(__file__).parent / "reference_relay.py"
        return [sys.executable, str(here), str(self.port), "cert.pem", "key.pem"]

    def pair(self, size: int) -> Pair:
        self._made += 1
        legs = [self.connect(), self.connect()]
        for sock in legs:
            wire.upgrade(sock, f"/{self._made}")
        return Pair(legs[0], legs[1], wire.message_chunk(size), self.window(size))


class Coturn(Peer):
    """TURN over TLS, client to client."""

    name = "coturn"

    def window(self, size: int) -> Window:  # noqa: ARG002
        return Window(64 * 1024)

    def command(self) -> Sequence[str]:
        turnserver = require("turnserver", "coturn")
        return [
            turnserver, "-n", "--no-auth", "-m", "1", "-L", "127.0.0.1", "-E", "127.0.0.1",
            "--tls-listening-port", str(self.port), "--listening-port", str(free_port()),
            "--cert", "cert.pem", "--pkey", "key.pem", "--allow-loopback-peers", "--no-cli",
            "--no-dtls", "--no-udp", "--no-tcp", "--log-file", "stdout", "--pidfile",
            str(self.directory / "turn.pid"), "--userdb", str(self.directory / "turn.db"),
        ]  # fmt: skip

    def pair(self, size: int) -> Pair:
        legs = [self.connect(), self.connect()]
        first, second = (wire.turn_allocate(sock) for sock in legs)
        wire.turn_bind(legs[0], second)
        wire.turn_bind(legs[1], first)
        return Pair(legs[0], legs[1], wire.channel_chunk(size), self.window(size))


class CoturnAsUsed(Coturn):
    """The same as TURN clients speak to it: each packet in a TLS record of its own."""

    name = "coturn, a record per packet"

    def pair(self, size: int) -> Pair:
        bundled = super().pair(size)
        return Pair(
            bundled.sender, bundled.receiver, wire.channel_chunk(size, count=1), bundled.sending
        )


class Haproxy(Peer):
    """Bytes from TLS to TLS in C: no packets, no admission; the ceiling."""

    name = "haproxy"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(self.certificate, self.key)
        self._listener = socket.create_server(("127.0.0.1", 0))

    def command(self) -> Sequence[str]:
        both = self.directory / "both.pem"
        both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        behind = self._listener.getsockname()[1]
        (self.directory / "haproxy.cfg").write_text(
            "global\n  nbthread 1\n"
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n"
            "  timeout server 60s\n"
            f"listen relay\n  bind 127.0.0.1:{self.port} ssl crt {both}\n"
            f"  server there 127.0.0.1:{behind} ssl verify none\n"
        )
        return [require("haproxy", "haproxy"), "-db", "-f", "haproxy.cfg"]

    def pair(self, size: int) -> Pair:
        sender = self.connect()
        sender.sendall(b"x")  # haproxy dials on when something comes
        plain, _ = self._listener.accept()
        receiver = self._tls.wrap_socket(plain, server_side=True)
        wire.read_exactly(receiver, 1)
        return Pair(sender, receiver, wire.stream_chunk(size), self.window(size))

    def stop(self) -> None:
        super().stop()
        self._listener.close()


class Null(Haproxy):
    """No relay: both connections are one. What the generator can do."""

    name = "null"

    def start(self) -> None:
        self.port = self._listener.getsockname()[1]

    def pair(self, size: int) -> Pair:
        tls = ssl.create_default_context(cafile=str(self.certificate))
        plain = socket.create_connection(("127.0.0.1", self.port))
        there, _ = self._listener.accept()
        sender = tls.wrap_socket(plain, server_hostname="127.0.0.1", do_handshake_on_connect=False)
        receiver = self._tls.wrap_socket(there, server_side=True, do_handshake_on_connect=False)
        _shake_hands(sender, receiver)
        return Pair(sender, receiver, wire.stream_chunk(size), self.window(size))


class Derper(Peer):
    """Tailscale's DERP server, spoken to in its own protocol."""

    name = "derper"

    def window(self, size: int) -> Window:
        return Window(_DERP_QUEUE * size)

    def __init__(self, directory: Path, program: Path) -> None:
        super().__init__(directory)
        self._program = program

    def command(self) -> Sequence[str]:
        for suffix, source in ((".crt", self.certificate), (".key", self.key)):
            shutil.copy(source, self.directory / f"127.0.0.1{suffix}")
        return [
            str(self._program), "-certmode", "manual", "-certdir", str(self.directory),
            "-hostname", "127.0.0.1", "-a", f"127.0.0.1:{self.port}", "-http-port", "-1",
            "-stun=false", "-c", str(self.directory / "derper.json"),
        ]  # fmt: skip

    def pair(self, size: int) -> Pair:
        legs = [self.connect(), self.connect()]
        _, receiver = (wire.derp_join(sock) for sock in legs)
        chunk = wire.derp_chunk(size, receiver, _DERP_QUEUE // 2)
        return Pair(legs[0], legs[1], chunk, self.window(size))


def build_derper(cache: Path) -> Path | None:
    """Build the pinned derper once, where a new enough Go is; None: there is none."""
    go = shutil.which("go")
    if go is None:
        return None
    program = cache / "derper"
    if not program.exists():
        print(f"building {DERPER}", file=sys.stderr)
        environment = {**os.environ, "GOBIN": str(cache)}
        if subprocess.run([go, "install", DERPER], env=environment, check=False).returncode:
            return None
    return program


def _shake_hands(*ends: ssl.SSLSocket) -> None:
    for end in ends:
        end.settimeout(0)
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            waiting.remove(end)
