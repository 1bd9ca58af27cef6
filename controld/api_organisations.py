"""Organisations: everyone's own, and for who runs the control plane all of them.

The operator's administrators make another organisation together with its first administrator,
and see its name from then on; what is inside stays its own.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from controld import api, store_audit, store_organisations, store_users
from controld.api import Call, Route
from controld.api_types import NameRequest, PlainName
from controld.codes import new_password
from controld.errors import ForbiddenError, NotFoundError
from controld.records import Entry
from controld.roles import Action, Role
from rclib.wire.audit import AuditAction
from rclib.wire.codec import Struct
from rclib.wire.ids import OrganisationId
from rclib.wire.session import Milliseconds

if TYPE_CHECKING:
    from controld.records import Organisation
    from controld.store import Tx

NEEDS = Action.MANAGE_ORGANISATIONS


class OrganisationRequest(Struct, frozen=True):
    name: PlainName
    administrator: PlainName
    """The first user of it."""


class OrganisationView(Struct, frozen=True):
    id: OrganisationId
    name: str
    is_operator: bool
    """Whether its administrators make the others."""
    created_ms: Milliseconds
    revision: int


class OrganisationCreated(Struct, frozen=True):
    organisation: OrganisationId
    password: str
    """Its administrator's, one-time: to be changed at the first login."""


class OrganisationList(Struct, frozen=True):
    organisations: tuple[OrganisationView, ...]


async def list_(call: Call) -> OrganisationList:
    """The caller's own; for the operator's administrators all."""

    def work(tx: Tx) -> OrganisationList:
        own = _own(tx, call)
        found = store_organisations.list_organisations(tx) if own.is_operator else (own,)
        return OrganisationList(tuple(_view(each) for each in found))

    return await call.services.store.read(work)


async def show(call: Call) -> OrganisationView:
    return _view(await call.services.store.read(lambda tx: _visible(tx, call)))


async def create(call: Call) -> OrganisationCreated:
    """For the operator's administrators only."""
    request = await call.body(OrganisationRequest)
    if not (await call.services.store.read(lambda tx: _own(tx, call))).is_operator:
        await api.record_denial(call, NEEDS)
        raise ForbiddenError("operator_only", "only who runs this control plane adds organisations")
    password = new_password()
    password_hash = await call.services.passwords.hash(password)

    def work(tx: Tx) -> OrganisationCreated:
        made = store_organisations.add_organisation(tx, request.name, call.now_ms)
        admin = store_users.add_user(
            tx, made, request.administrator, Role.ADMINISTRATOR, password_hash, call.now_ms
        )
        _record(tx, call, AuditAction.ORGANISATION_CREATED, made, {"name": request.name})
        detail = {"name": admin.name, "role": admin.role.value}
        entry = _entry(call, AuditAction.USER_CREATED, made, admin.id, detail)
        store_audit.append(tx, entry, call.now_ms)
        return OrganisationCreated(made, password)

    return await call.create(OrganisationCreated, work)


async def rename(call: Call) -> OrganisationView:
    """Plants see the new name at the next start."""
    request = await call.body(NameRequest)
    revision = call.expected_revision()

    def work(tx: Tx) -> Organisation:
        old = _visible(tx, call)
        new = store_organisations.rename_organisation(tx, old.id, request.name, revision)
        detail = {"name": new.name, "was": old.name}
        _record(tx, call, AuditAction.ORGANISATION_RENAMED, new.id, detail)
        return new

    return _view(await call.services.store.write(work))


_ORGANISATIONS = "/api/v1/organisations"
_ORGANISATION = f"{_ORGANISATIONS}/{{organisation}}"
ROUTES = (
    Route(method="GET", path=_ORGANISATIONS, needs=NEEDS, handle=list_, gives=OrganisationList),
    Route(
        method="POST",
        path=_ORGANISATIONS,
        needs=NEEDS,
        handle=create,
        takes=OrganisationRequest,
        gives=OrganisationCreated,
        status=HTTPStatus.CREATED,
    ),
    Route(method="GET", path=_ORGANISATION, needs=NEEDS, handle=show, gives=OrganisationView),
    Route(
        method="PUT",
        path=_ORGANISATION,
        needs=NEEDS,
        handle=rename,
        takes=NameRequest,
        gives=OrganisationView,
        is_change=True,
    ),
)


def _own(tx: Tx, call: Call) -> Organisation:
    return store_organisations.get_organisation(tx, call.user.organisation)


def _visible(tx: Tx, call: Call) -> Organisation:
    """The organisation of the address, if the caller may know of it; raises NotFoundError."""
    wanted = OrganisationId(call.request.match_info["organisation"])
    own = _own(tx, call)
    if wanted != own.id and not own.is_operator:
        raise NotFoundError("organisation")
    return store_organisations.get_organisation(tx, wanted)


def _record(
    tx: Tx, call: Call, action: AuditAction, subject: OrganisationId, detail: dict[str, str]
) -> None:
    """In its own record, and in that of the operator if somebody there did it."""
    for organisation in dict.fromkeys((subject, call.user.organisation)):
        entry = _entry(call, action, organisation, subject, detail)
        store_audit.append(tx, entry, call.now_ms)


def _entry(
    call: Call,
    action: AuditAction,
    organisation: OrganisationId,
    subject: str,
    detail: dict[str, str],
) -> Entry:
    return Entry(
        action=action,
        organisation=organisation,
        actor=call.actor,
        subject=subject,
        detail=detail,
    )


def _view(organisation: Organisation) -> OrganisationView:
    return OrganisationView(
        id=organisation.id,
        name=organisation.name,
        is_operator=organisation.is_operator,
        created_ms=organisation.created_ms,
        revision=organisation.revision,
    )
