"""What holds for every session at one gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import insert, select, update

from controld.errors import ChangedError, NotFoundError
from controld.maintenance import Window
from controld.records import GatewayPolicy, ReasonPolicy, ReleasePolicy
from controld.schema.endpoints import gateway_policies as policies

if TYPE_CHECKING:
    from typing import Any

    from controld.store import Tx
    from rclib.wire.ids import GatewayId

DEFAULT: Final = GatewayPolicy(
    release=ReleasePolicy.OPEN,
    reason=ReasonPolicy.OPTIONAL,
    max_sessions=4,
    max_duration_s=7 * 86_400,
    idle_timeout_s=0,
    time_zone="UTC",
    windows=(),
)
_windows: Final = msgspec.json.Decoder(tuple[Window, ...])


def add_policy(tx: Tx, gateway: GatewayId) -> None:
    tx.execute(insert(policies).values(gateway=gateway, revision=1, **_columns(DEFAULT)))


def get_policy(tx: Tx, gateway: GatewayId) -> GatewayPolicy:
    """Read a gateway's policy; raises NotFoundError: without one nothing may start."""
    row = tx.execute(select(policies).where(policies.c.gateway == gateway)).mappings().first()
    if row is None:
        raise NotFoundError("gateway")
    return GatewayPolicy(
        release=ReleasePolicy(row["release"]),
        reason=ReasonPolicy(row["reason"]),
        max_sessions=row["max_sessions"],
        max_duration_s=row["max_duration_s"],
        idle_timeout_s=row["idle_timeout_s"],
        time_zone=row["time_zone"],
        windows=_windows.decode(row["windows"]),
        revision=row["revision"],
    )


def set_policy(tx: Tx, gateway: GatewayId, policy: GatewayPolicy) -> GatewayPolicy:
    """Replace the policy of exactly `policy.revision`; raises ConflictError for another one."""
    changed = tx.execute(
        update(policies)
        .where(policies.c.gateway == gateway, policies.c.revision == policy.revision)
        .values(revision=policy.revision + 1, **_columns(policy))
    )
    if changed.rowcount != 1:
        raise ChangedError("policy")
    return get_policy(tx, gateway)


def _columns(policy: GatewayPolicy) -> dict[str, Any]:
    return {
        "release": policy.release.value,
        "reason": policy.reason.value,
        "max_sessions": policy.max_sessions,
        "max_duration_s": policy.max_duration_s,
        "idle_timeout_s": policy.idle_timeout_s,
        "time_zone": policy.time_zone,
        "windows": msgspec.json.encode(policy.windows).decode(),
    }
