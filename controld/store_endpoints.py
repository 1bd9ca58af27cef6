"""Gateways and technicians' PCs: their names, enrolments and identity keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from controld.codes import digest, new_id
from controld.errors import ConflictError, NotFoundError
from controld.records import Client, Gateway, LinkIdentity
from controld.roles import Action, Role, Scope, scope_of
from controld.schema.endpoints import clients, enrolments, gateways, identities
from controld.schema.people import users
from controld.store_audit import newest_uploaded
from controld.store_policies import add_policy
from rclib.wire.ids import ClientId, EndpointId, GatewayId, IdentityKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

    from controld.store import Tx
    from rclib.wire.ids import OrganisationId, UserId

_GATEWAYS = select(gateways, identities.c.identity_key).join(
    identities, identities.c.endpoint == gateways.c.id, isouter=True
)
_CLIENTS = select(clients, identities.c.identity_key).join(
    identities, identities.c.endpoint == clients.c.id, isouter=True
)


def add_gateway(tx: Tx, organisation: OrganisationId, name: str, now_ms: int) -> Gateway:
    """Create a gateway; raises ConflictError for a name in use."""
    same = gateways.c.organisation == organisation, gateways.c.name == name
    if tx.execute(select(gateways.c.id).where(*same)).first() is not None:
        raise ConflictError("name_taken", f"there is a gateway called {name!r} already")
    gateway = GatewayId(new_id("gwy"))
    tx.execute(
        insert(gateways).values(id=gateway, organisation=organisation, name=name, created_ms=now_ms)
    )
    add_policy(tx, gateway)
    return get_gateway(tx, gateway, organisation)


def get_gateway(tx: Tx, gateway: GatewayId, organisation: OrganisationId) -> Gateway:
    """Read a gateway of an organisation; raises NotFoundError."""
    found = find_gateway(tx, gateway)
    if found.organisation != organisation:
        raise NotFoundError("gateway")
    return found


def find_gateway(tx: Tx, gateway: GatewayId) -> Gateway:
    """Read a gateway of any organisation; raises NotFoundError."""
    row = tx.execute(_GATEWAYS.where(gateways.c.id == gateway)).mappings().first()
    if row is None:
        raise NotFoundError("gateway")
    return _gateway(row)


def list_gateways(tx: Tx, organisation: OrganisationId) -> Sequence[Gateway]:
    query = _GATEWAYS.where(gateways.c.organisation == organisation).order_by(gateways.c.name)
    return [_gateway(row) for row in tx.execute(query).mappings()]


def add_client(
    tx: Tx, organisation: OrganisationId, user: UserId, name: str, now_ms: int
) -> Client:
    """Create a technician's PC; raises ConflictError for a name the user has in use."""
    same = clients.c.user == user, clients.c.name == name
    if tx.execute(select(clients.c.id).where(*same)).first() is not None:
        raise ConflictError("name_taken", f"you have a computer called {name!r} already")
    client = ClientId(new_id("cli"))
    tx.execute(
        insert(clients).values(
            id=client, organisation=organisation, user=user, name=name, created_ms=now_ms
        )
    )
    return get_client(tx, client)


def get_client(tx: Tx, client: ClientId) -> Client:
    """Read a technician's PC; raises NotFoundError."""
    row = tx.execute(_CLIENTS.where(clients.c.id == client)).mappings().first()
    if row is None:
        raise NotFoundError("client")
    return _client(row)


def list_clients(tx: Tx, user: UserId) -> Sequence[Client]:
    query = _CLIENTS.where(clients.c.user == user).order_by(clients.c.name)
    return [_client(row) for row in tx.execute(query).mappings()]


def link_identity(tx: Tx, endpoint: EndpointId) -> LinkIdentity | None:
    """What is needed to judge a LinkHello; None for an unknown or never enrolled endpoint."""
    if endpoint.startswith("gwy_"):
        row = tx.execute(_GATEWAYS.where(gateways.c.id == endpoint)).mappings().first()
    else:
        query = _CLIENTS.add_columns(users.c.disabled_ms, users.c.role).join(
            users, users.c.id == clients.c.user
        )
        row = tx.execute(query.where(clients.c.id == endpoint)).mappings().first()
    if row is None or row["identity_key"] is None:
        return None
    return LinkIdentity(
        endpoint=endpoint,
        organisation=row["organisation"],
        name=row["name"],
        key=IdentityKey(row["identity_key"]),
        user=row.get("user"),
        shut_out=_shut_out(row) if "user" in row else "",
        audit_seq=newest_uploaded(tx, endpoint),
    )


def identity_key(tx: Tx, endpoint: EndpointId) -> IdentityKey | None:
    key = tx.scalar(select(identities.c.identity_key).where(identities.c.endpoint == endpoint))
    return IdentityKey(key) if key is not None else None


def issue_code(tx: Tx, endpoint: EndpointId, code: str, now_ms: int, expires_ms: int) -> None:
    """Store a new enrolment code; an older unused one of the endpoint is void from here on."""
    tx.execute(
        delete(enrolments).where(enrolments.c.endpoint == endpoint, enrolments.c.used_ms.is_(None))
    )
    tx.execute(
        insert(enrolments).values(
            code_digest=digest(code), endpoint=endpoint, created_ms=now_ms, expires_ms=expires_ms
        )
    )


def endpoint_of_code(tx: Tx, code: str) -> EndpointId | None:
    """Whose code this is or was, used and expired ones included."""
    query = select(enrolments.c.endpoint).where(enrolments.c.code_digest == digest(code))
    endpoint = tx.scalar(query)
    return EndpointId(endpoint) if endpoint is not None else None


def spend_code(tx: Tx, code: str, now_ms: int) -> bool:
    """Check and use a code in one step; False if it is not, or no longer, valid."""
    spent = tx.execute(
        update(enrolments)
        .where(
            enrolments.c.code_digest == digest(code),
            enrolments.c.used_ms.is_(None),
            enrolments.c.expires_ms > now_ms,
        )
        .values(used_ms=now_ms)
    )
    return spent.rowcount == 1


def enrol(tx: Tx, endpoint: EndpointId, key: IdentityKey, now_ms: int) -> None:
    """Make `key` the endpoint's identity; raises ConflictError if it is another one's."""
    holder = tx.scalar(select(identities.c.endpoint).where(identities.c.identity_key == key))
    if holder is not None and holder != endpoint:
        raise ConflictError(
            "key_enrolled_elsewhere",
            "this identity key is enrolled already; let the device make a new one "
            "(a copied disk image must not share its identity)",
        )
    tx.execute(delete(identities).where(identities.c.endpoint == endpoint))
    tx.execute(insert(identities).values(endpoint=endpoint, identity_key=key, enrolled_ms=now_ms))


def _shut_out(row: RowMapping) -> str:
    """Why the computer of a user gets no link."""
    if row["disabled_ms"] is not None:
        return "the user this computer belongs to is disabled"
    if scope_of(Role(row["role"]), Action.ENROL_CLIENT) is Scope.NONE:
        return "the user this computer belongs to has a role without computers"
    return ""


def _gateway(row: RowMapping) -> Gateway:
    return Gateway(
        id=row["id"],
        organisation=row["organisation"],
        name=row["name"],
        identity_key=row["identity_key"],
        created_ms=row["created_ms"],
    )


def _client(row: RowMapping) -> Client:
    return Client(
        id=row["id"],
        organisation=row["organisation"],
        user=row["user"],
        name=row["name"],
        identity_key=row["identity_key"],
        created_ms=row["created_ms"],
    )
