"""Signs the record's heads and hands them to the gateways, which keep them out of reach."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from controld import store_audit, store_heads
from controld.audit_heads import due_heads, is_genuine, sign_head
from controld.records import Actor, Entry
from controld.store import StoreUnavailableError
from rclib.runtime.clock import boottime
from rclib.runtime.errors import ConfigError
from rclib.runtime.logs import RateGate, RateLimitedLogger
from rclib.wire.audit import AuditAction
from rclib.wire.ids import EndpointId, IdentityKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from controld.link_hub import Hub
    from controld.records import LinkIdentity
    from controld.store import Store, Tx
    from rclib.runtime.logs import Logger
    from rclib.runtime.secret import SecretBytes
    from rclib.wire.control import AuditHead

LOOK_S: Final = 1.0
SIGNING_FAILED = "audit_signing_failed"
HEAD_CONFLICT = "audit_head_conflict"


def load_log_key(pem: SecretBytes) -> Ed25519PrivateKey:
    """Read the key that signs heads; raises ConfigError."""
    try:
        key = load_pem_private_key(pem.reveal(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"not a private key in PEM: {exc}", key="audit_key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("heads are signed with an Ed25519 key", key="audit_key")
    return key


def public_half(key: Ed25519PrivateKey) -> IdentityKey:
    return IdentityKey(key.public_key().public_bytes_raw())


class Notary:
    """Looks once per LOOK_S whether a head is due."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        key: Ed25519PrivateKey,
        now_ms: Callable[[], int],
        log: Logger,
    ) -> None:
        self._store = store
        self._hub = hub
        self._key = key
        self.log_key = public_half(key)
        self._now_ms = now_ms
        self._log = RateLimitedLogger(log)
        self._alarms = RateGate(60)
        self._told = 0
        """The row of the newest head that was handed out from here."""

    async def run(self) -> None:
        """Sign for ever."""
        while True:
            try:
                await self.look()
            except StoreUnavailableError as exc:
                self._log.error(SIGNING_FAILED, once_per="store", reason=exc)
            await asyncio.sleep(LOOK_S)

    async def look(self, *, is_last: bool = False) -> None:
        """Sign what is due, at the end whatever is unsigned. Raises StoreUnavailableError."""
        now_ms = self._now_ms()

        def is_due(tx: Tx) -> tuple[AuditHead | None, bool]:
            head = store_heads.newest_head(tx)
            return head, bool(self._due(tx, head, now_ms, is_last=is_last))

        def work(tx: Tx) -> AuditHead | None:
            # Looked at again: another controld on the same database may have been first.
            head = store_heads.newest_head(tx)
            for seq in self._due(tx, head, now_ms, is_last=is_last):
                chain_hash = store_heads.hash_of_row(tx, seq)
                if chain_hash is None:
                    break  # a gap: `controld audit verify` will name it
                head = sign_head(self._key, seq, chain_hash, now_ms)
                store_heads.add_head(tx, head)
            return head

        head, due = await self._store.read(is_due)
        if due:
            head = await self._store.write(work)
        if head is not None and head.seq > self._told:
            self._told = head.seq
            for endpoint in self._hub.linked():
                if endpoint.startswith("gwy_"):
                    self.tell(endpoint, head)

    def tell(self, gateway: EndpointId, head: AuditHead) -> None:
        """Give a linked gateway the newest head, in place of older ones still under way."""
        self._hub.send_newest(gateway, head)

    async def greet(self, gateway: EndpointId) -> None:
        """A gateway has linked: it may have missed heads."""
        head = await self._store.read(store_heads.newest_head)
        if head is not None:
            self.tell(gateway, head)

    async def compare(self, sender: LinkIdentity, held: AuditHead) -> None:
        """A gateway says which head it holds: what it was given once must still be so.

        Raises StoreUnavailableError.
        """
        complaint = await self._store.read(lambda tx: self._complaint(tx, held))
        if not complaint or self._alarms.admit(sender.endpoint, boottime()) is None:
            return
        self._log.error(
            HEAD_CONFLICT, once_per=sender.endpoint, gateway=sender.endpoint, reason=complaint
        )
        entry = Entry(
            action=AuditAction.AUDIT_HEAD_CONFLICT,
            organisation=sender.organisation,
            actor=Actor(sender.endpoint, sender.name),
            subject=sender.endpoint,
            detail={"row": str(held.seq), "reason": complaint},
        )
        now_ms = self._now_ms()
        await self._store.write(lambda tx: store_audit.append(tx, entry, now_ms))

    def _complaint(self, tx: Tx, held: AuditHead) -> str:
        if not is_genuine(held, self.log_key):
            return "the head that the gateway holds is not signed by this record's key"
        stored = store_heads.hash_of_row(tx, held.seq)
        if stored is None:
            return f"row {held.seq} is missing: the record was cut off or an older copy put back"
        if stored != held.chain_hash:
            return f"row {held.seq} or one before it is not the one that was signed"
        return ""

    def _due(self, tx: Tx, head: AuditHead | None, now_ms: int, *, is_last: bool) -> list[int]:
        newest = store_heads.newest_row(tx)
        headed, headed_ms = (head.seq, head.at_ms) if head is not None else (0, 0)
        if is_last:
            return [newest] if newest > headed else []
        return list(due_heads(newest, headed, headed_ms, now_ms))
