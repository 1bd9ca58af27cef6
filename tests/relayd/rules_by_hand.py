"""The relay's rules in the hand of a test: its legs, its clock and what came of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rclib.wire import relay
from rclib.wire.admission import Admission, key_id_of, load_key, mint
from rclib.wire.identity import Side, relay_statement, sign, token_digest
from rclib.wire.ids import IdentityKey, Nonce, RelayId, SessionId
from relayd.admission import Doorkeeper
from relayd.channels import Channels, Timing
from relayd.commands import CloseLeg, Command, LegId, Send
from relayd.timer_wheel import SLOT_S

if TYPE_CHECKING:
    from rclib.wire.relay import CloseReason

RELAY = RelayId("relay0")
SESSION = SessionId("ses_" + "a" * 16)
OTHER_SESSION = SessionId("ses_" + "b" * 16)
TIMING = Timing(hello_s=10, write_s=2, ping_s=25, dead_s=45)
WALL = 1_800_000_000.0
LEASE_S = 600

AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
TOKEN_KEY = load_key(
    AUTHORITY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
)
TECHNICIAN = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
GATEWAY = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32)
OWNER = {Side.TECHNICIAN: TECHNICIAN, Side.GATEWAY: GATEWAY}

READY_ALONE = relay.encode(relay.Ready(partner_present=False))
READY_PAIRED = relay.encode(relay.Ready(partner_present=True))
GONE = relay.encode(relay.Gone())
DATA = relay.data_header(100) + b"\x04" + bytes(99)
INITIATION = relay.data_header(148) + b"\x01" + bytes(147)
SIGNAL = relay.encode(relay.Signal(b"candidate"))


def token(
    side: Side,
    key: Ed25519PrivateKey | None = None,
    *,
    session: SessionId = SESSION,
    audience: RelayId = RELAY,
    expires_s: float = LEASE_S,
) -> str:
    public = (key or OWNER[side]).public_key().public_bytes_raw()
    admission = Admission(
        session, side, IdentityKey(public), audience, int(WALL) - 1, int(WALL + expires_s)
    )
    return mint(admission, TOKEN_KEY, key_id_of(TOKEN_KEY))


@dataclass
class Relay:
    """The rules with a clock in hand. The wall clock runs beside the boot clock."""

    now: float = 1000.0
    wall_s: float = WALL
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    nonces: dict[LegId, Nonce] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nonces = itertools.count(1)
        keys = {key_id_of(TOKEN_KEY): TOKEN_KEY}
        keeper = Doorkeeper(RELAY, keys, lambda: Nonce(next(nonces).to_bytes(32, "big")))
        self.rules = Channels(keeper, TIMING)

    def connect(self) -> LegId:
        leg = LegId(next(self.numbers))
        (challenged,) = self.rules.connected(leg, self.now)
        assert isinstance(challenged, Send)
        challenge = relay.decode(challenged.message)
        assert isinstance(challenge, relay.Challenge)
        self.nonces[leg] = challenge.nonce
        return leg

    def say(self, leg: LegId, frame: relay.Frame | bytes) -> list[Command]:
        message = frame if isinstance(frame, bytes) else relay.encode(frame)
        self.rules.heard(leg, self.now)
        return self.rules.received(leg, message, self.now, self.wall_s)

    def prove(self, leg: LegId, text: str, key: Ed25519PrivateKey) -> list[Command]:
        assert self.say(leg, relay.Hello(relay.PROTOCOL_VERSION, text)) == []
        signed = relay_statement(RELAY, self.nonces[leg], token_digest(text))
        return self.say(leg, relay.Proof(sign(key, signed)))

    def join(
        self, side: Side, *, session: SessionId = SESSION, expires_s: float = LEASE_S
    ) -> tuple[LegId, list[Command]]:
        leg = self.connect()
        text = token(side, session=session, expires_s=expires_s)
        return leg, self.prove(leg, text, OWNER[side])

    def later(self, seconds: float) -> list[Command]:
        """Let time pass as the ticker does, one slot after the other."""
        commands: list[Command] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + SLOT_S)
            self.wall_s += SLOT_S
            commands += self.rules.due(self.now)
        return commands


def reasons(commands: list[Command]) -> list[tuple[LegId, CloseReason]]:
    return [(c.leg, c.reason) for c in commands if isinstance(c, CloseLeg)]
