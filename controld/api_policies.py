"""What holds for every session at one gateway: whose word, when, how long, how many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from controld import store_audit, store_endpoints, store_policies
from controld.api import Call, Route
from controld.api_types import DurationSeconds
from controld.errors import InvalidError
from controld.maintenance import MAX_WINDOWS, Window, is_time_zone
from controld.records import Entry, GatewayPolicy, ReasonPolicy, ReleasePolicy
from controld.roles import Action
from rclib.wire.audit import AuditAction
from rclib.wire.codec import Struct
from rclib.wire.ids import GatewayId

if TYPE_CHECKING:
    from controld.store import Tx


class PolicyRequest(Struct, frozen=True):
    release: ReleasePolicy
    reason: ReasonPolicy
    max_sessions: Annotated[int, msgspec.Meta(ge=1, le=64)]
    max_duration_s: DurationSeconds
    idle_timeout_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)]
    """0: a session may be idle."""
    time_zone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """An IANA name, like Europe/Berlin: the windows are on this clock."""
    windows: Annotated[tuple[Window, ...], msgspec.Meta(max_length=MAX_WINDOWS)]
    """None: remote maintenance at any time."""


class PolicyView(Struct, frozen=True):
    release: ReleasePolicy
    reason: ReasonPolicy
    max_sessions: int
    max_duration_s: int
    idle_timeout_s: int
    time_zone: str
    windows: tuple[Window, ...]
    revision: int


async def show(call: Call) -> PolicyView:
    return _view(
        await call.services.store.read(lambda tx: store_policies.get_policy(tx, _gateway(tx, call)))
    )


async def change(call: Call) -> PolicyView:
    """Holds for every start from now on; what is open goes on as it was started."""
    request = await call.body(PolicyRequest)
    if not is_time_zone(request.time_zone):
        raise InvalidError("unknown_time_zone", f"{request.time_zone!r} is not an IANA time zone")
    policy = GatewayPolicy(**msgspec.structs.asdict(request), revision=call.expected_revision())

    def work(tx: Tx) -> GatewayPolicy:
        gateway = _gateway(tx, call)
        changed = store_policies.set_policy(tx, gateway, policy)
        entry = Entry(
            action=AuditAction.POLICY_CHANGED,
            organisation=call.user.organisation,
            actor=call.actor,
            subject=gateway,
            detail={
                "release": changed.release.value,
                "reason": changed.reason.value,
                "max_sessions": str(changed.max_sessions),
                "max_duration_s": str(changed.max_duration_s),
                "idle_timeout_s": str(changed.idle_timeout_s),
                "time_zone": changed.time_zone,
                "windows": str(len(changed.windows)),
            },
        )
        store_audit.append(tx, entry, call.now_ms)
        return changed

    return _view(await call.services.store.write(work))


_POLICY = "/api/v1/gateways/{gateway}/policy"
ROUTES = (
    Route(method="GET", path=_POLICY, needs=Action.SEE_GATEWAYS, handle=show, gives=PolicyView),
    Route(
        method="PUT",
        path=_POLICY,
        needs=Action.ADD_GATEWAYS,
        handle=change,
        takes=PolicyRequest,
        gives=PolicyView,
        is_change=True,
    ),
)


def _gateway(tx: Tx, call: Call) -> GatewayId:
    wanted = GatewayId(call.request.match_info["gateway"])
    return store_endpoints.get_gateway(tx, wanted, call.user.organisation).id


def _view(policy: GatewayPolicy) -> PolicyView:
    return PolicyView(
        release=policy.release,
        reason=policy.reason,
        max_sessions=policy.max_sessions,
        max_duration_s=policy.max_duration_s,
        idle_timeout_s=policy.idle_timeout_s,
        time_zone=policy.time_zone,
        windows=policy.windows,
        revision=policy.revision,
    )
