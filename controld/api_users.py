"""Users of the caller's organisation."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from controld import sessions, store_audit, store_endpoints, store_users
from controld.api import Call, Route
from controld.api_types import UserCreated, UserList, UserRequest, UserView
from controld.codes import new_password
from controld.errors import ConflictError
from controld.records import Entry
from controld.roles import Action
from controld.store_sessions import open_sessions_of_user
from rclib.wire.audit import AuditAction
from rclib.wire.ids import EndpointId, UserId
from rclib.wire.link import LinkRefusal
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from controld.records import Client, Session
    from controld.store import Tx

SHUT: Final = "this user is disabled"


async def list_users(call: Call) -> UserList:
    users = await call.services.store.read(
        lambda tx: store_users.list_users(tx, call.user.organisation)
    )
    return UserList(tuple(UserView(u.id, u.name, u.role, u.disabled, u.created_ms) for u in users))


async def create_user(call: Call) -> UserCreated:
    request = await call.body(UserRequest)
    password = new_password()
    password_hash = await call.services.passwords.hash(password)

    def work(tx: Tx) -> UserCreated:
        user = store_users.add_user(
            tx,
            call.user.organisation,
            request.name,
            request.role,
            password_hash,
            call.now_ms,
        )
        detail = {"name": request.name, "role": request.role.value}
        store_audit.append(tx, _entry(call, AuditAction.USER_CREATED, user.id, detail), call.now_ms)
        return UserCreated(user.id, password)

    return await call.create(UserCreated, work)


async def disable_user(call: Call) -> None:
    """Ends the user's sessions and links at once; both ends of each session are told."""
    services = call.services
    target = UserId(call.request.match_info["user"])
    if target == call.user.id:
        raise ConflictError(
            "own_account", "nobody can disable their own account; let another administrator do it"
        )

    def work(tx: Tx) -> tuple[list[Session], list[Client]]:
        user = store_users.get_user(tx, target, call.user.organisation)
        if not store_users.disable_user(tx, target, call.now_ms):
            return [], []
        detail = {"name": user.name}
        store_audit.append(tx, _entry(call, AuditAction.USER_DISABLED, target, detail), call.now_ms)
        ended = [
            sessions.end(tx, session, EndReason.USER_DISABLED, call.actor, call.now_ms)
            for session in open_sessions_of_user(tx, target)
        ]
        clients = list(store_endpoints.list_clients(tx, target))
        for client in clients:
            services.fleet.shut(tx, EndpointId(client.id), SHUT)
        return [session for session in ended if session is not None], clients

    ended, clients = await services.store.write(work)
    for session in ended:
        services.keeper.tell_end(session)
    for client in clients:
        services.hub.close(EndpointId(client.id), LinkRefusal.UNKNOWN, SHUT)


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/users",
        needs=Action.SEE_USERS,
        handle=list_users,
        gives=UserList,
    ),
    Route(
        method="POST",
        path="/api/v1/users",
        needs=Action.MANAGE_USERS,
        handle=create_user,
        takes=UserRequest,
        gives=UserCreated,
        status=HTTPStatus.CREATED,
    ),
    Route(
        method="POST",
        path="/api/v1/users/{user}/disable",
        needs=Action.MANAGE_USERS,
        handle=disable_user,
    ),
)


def _entry(call: Call, action: AuditAction, subject: UserId, detail: dict[str, str]) -> Entry:
    return Entry(
        action=action,
        organisation=call.user.organisation,
        actor=call.actor,
        subject=subject,
        detail=detail,
    )
