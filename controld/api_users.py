"""Users of the caller's organisation."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from controld import sessions, store_audit, store_endpoints, store_subjects, store_users
from controld.api import Call, Route
from controld.api_providers import ProviderList, providers_of
from controld.api_types import UserChange, UserCreated, UserList, UserRequest, UserView
from controld.codes import new_password
from controld.errors import ConflictError, NotFoundError
from controld.provider_logins import provider_of
from controld.records import Entry
from controld.roles import Action, Role, Scope, scope_of
from controld.store_sessions import open_sessions_of_user
from rclib.wire.audit import AuditAction
from rclib.wire.ids import EndpointId, UserId
from rclib.wire.link import LinkRefusal
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controld.records import Client, Session, User
    from controld.store import Tx

    Ended = tuple[list[Session], list[Client]]
    """Sessions whose ends, and computers that, have to hear of it after the commit."""

DISABLED: Final = "this user is disabled"
NO_COMPUTERS: Final = "this user's role has no computers"


async def list_users(call: Call) -> UserList:
    users = await call.services.store.read(
        lambda tx: store_users.list_users(tx, call.user.organisation)
    )
    return UserList(tuple(_view(user) for user in users))


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
        _record(tx, call, AuditAction.USER_CREATED, user.id, detail)
        return UserCreated(user.id, password)

    return await call.create(UserCreated, work)


async def show_user(call: Call) -> UserView:
    return _view(await call.services.store.read(lambda tx: _user(tx, call)))


async def change_user(call: Call) -> UserView:
    """Holds at once: the user logs in anew, and what the new role could not start ends."""
    request = await call.body(UserChange)
    revision = call.expected_revision()

    def work(tx: Tx) -> tuple[User, Ended]:
        old = _user(tx, call)
        if (old.role, old.revision) == (request.role, revision):
            return old, ([], [])
        if request.role is not Role.ADMINISTRATOR:
            store_users.check_not_last(tx, old)
        new = store_users.set_role(tx, old.id, request.role, revision)
        detail = {"name": new.name, "role": new.role.value, "was": old.role.value}
        _record(tx, call, AuditAction.USER_ROLE_CHANGED, new.id, detail)
        lost = [each for each in open_sessions_of_user(tx, new.id) if not _may_start(new, each)]
        ended = _end(tx, call, lost, EndReason.ADMINISTRATOR)
        shut = [] if _may(new, Action.ENROL_CLIENT) else _shut(tx, call, new.id, NO_COMPUTERS)
        return new, (ended, shut)

    user, ended = await call.services.store.write(work)
    _tell(call, ended, NO_COMPUTERS)
    return _view(user)


async def disable_user(call: Call) -> None:
    """Ends the user's sessions and links at once; both ends of each session are told."""
    target = UserId(call.request.match_info["user"])
    if target == call.user.id:
        raise ConflictError(
            "own_account", "nobody can disable their own account; let another administrator do it"
        )

    def work(tx: Tx) -> Ended:
        user = _user(tx, call)
        store_users.check_not_last(tx, user)
        if not store_users.disable_user(tx, user.id, call.now_ms):
            return [], []
        _record(tx, call, AuditAction.USER_DISABLED, user.id, {"name": user.name})
        mine = open_sessions_of_user(tx, user.id)
        ended = _end(tx, call, mine, EndReason.USER_DISABLED)
        return ended, _shut(tx, call, user.id, DISABLED)

    _tell(call, await call.services.store.write(work), DISABLED)


async def list_providers(call: Call) -> ProviderList:
    """Which providers of identities let this user in."""

    def work(tx: Tx) -> ProviderList:
        return providers_of(tx, call, _user(tx, call).id)

    return await call.services.store.read(work)


async def unlink_provider(call: Call) -> None:
    """The account there opens nothing here any more; whoever is logged in logs in anew."""
    provider = provider_of(call).config

    def work(tx: Tx) -> None:
        user = _user(tx, call)
        if not store_subjects.unlink(tx, user.id, provider.issuer):
            raise NotFoundError("link")
        store_users.void_logins(tx, user.id)
        detail = {"name": user.name, "provider": provider.id}
        _record(tx, call, AuditAction.PROVIDER_UNLINKED, user.id, detail)

    await call.services.store.write(work)


_USERS: Final = "/api/v1/users"
_USER: Final = f"{_USERS}/{{user}}"
ROUTES = (
    Route(method="GET", path=_USERS, needs=Action.SEE_USERS, handle=list_users, gives=UserList),
    Route(
        method="POST",
        path=_USERS,
        needs=Action.MANAGE_USERS,
        handle=create_user,
        takes=UserRequest,
        gives=UserCreated,
        status=HTTPStatus.CREATED,
    ),
    Route(method="GET", path=_USER, needs=Action.SEE_USERS, handle=show_user, gives=UserView),
    Route(
        method="PUT",
        path=_USER,
        needs=Action.MANAGE_USERS,
        handle=change_user,
        takes=UserChange,
        gives=UserView,
        is_change=True,
    ),
    Route(
        method="POST",
        path=f"{_USER}/disable",
        needs=Action.MANAGE_USERS,
        handle=disable_user,
    ),
    Route(
        method="GET",
        path=f"{_USER}/providers",
        needs=Action.MANAGE_USERS,
        handle=list_providers,
        gives=ProviderList,
    ),
    Route(
        method="DELETE",
        path=f"{_USER}/providers/{{provider}}",
        needs=Action.MANAGE_USERS,
        handle=unlink_provider,
    ),
)


def _user(tx: Tx, call: Call) -> User:
    """The user of the address; raises NotFoundError."""
    wanted = UserId(call.request.match_info["user"])
    return store_users.get_user(tx, wanted, call.user.organisation)


def _may(user: User, action: Action) -> bool:
    return scope_of(user.role, action) is not Scope.NONE


def _may_start(user: User, session: Session) -> bool:
    scope = scope_of(user.role, Action.START_SESSIONS)
    return scope is Scope.ALL or (scope is Scope.OWN and user.id in session.users)


def _end(tx: Tx, call: Call, lost: Iterable[Session], reason: EndReason) -> list[Session]:
    ended = [sessions.end(tx, each, reason, call.actor, call.now_ms) for each in lost]
    return [session for session in ended if session is not None]


def _shut(tx: Tx, call: Call, user: UserId, why: str) -> list[Client]:
    """Void the links of a user's computers wherever they are."""
    clients = list(store_endpoints.list_clients(tx, user))
    for client in clients:
        call.services.fleet.shut(tx, EndpointId(client.id), why)
    return clients


def _tell(call: Call, ended: Ended, why: str) -> None:
    for session in ended[0]:
        call.services.keeper.tell_end(session)
    for client in ended[1]:
        call.services.hub.close(EndpointId(client.id), LinkRefusal.UNKNOWN, why)


def _record(
    tx: Tx, call: Call, action: AuditAction, subject: UserId, detail: dict[str, str]
) -> None:
    entry = Entry(
        action=action,
        organisation=call.user.organisation,
        actor=call.actor,
        subject=subject,
        detail=detail,
    )
    store_audit.append(tx, entry, call.now_ms)


def _view(user: User) -> UserView:
    return UserView(user.id, user.name, user.role, user.disabled, user.created_ms, user.revision)
