"""Organisations. Each user and each gateway belongs to one; the first runs the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from controld.codes import new_id
from controld.errors import ChangedError, ConflictError, NotFoundError
from controld.records import Organisation
from controld.schema.people import organisations
from rclib.wire.ids import OrganisationId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

    from controld.store import Tx


def add_organisation(tx: Tx, name: str, now_ms: int) -> OrganisationId:
    """Create one; raises ConflictError for a name in use."""
    _check_name(tx, name)
    organisation = OrganisationId(new_id("org"))
    tx.execute(
        insert(organisations).values(
            id=organisation,
            name=name,
            is_operator=not has_organisations(tx),
            revision=1,
            created_ms=now_ms,
        )
    )
    return organisation


def has_organisations(tx: Tx) -> bool:
    return tx.execute(select(organisations.c.id).limit(1)).first() is not None


def get_organisation(tx: Tx, organisation: OrganisationId) -> Organisation:
    """Raises NotFoundError."""
    query = select(organisations).where(organisations.c.id == organisation)
    row = tx.execute(query).mappings().first()
    if row is None:
        raise NotFoundError("organisation")
    return _organisation(row)


def list_organisations(tx: Tx) -> Sequence[Organisation]:
    query = select(organisations).order_by(organisations.c.name)
    return [_organisation(row) for row in tx.execute(query).mappings()]


def rename_organisation(
    tx: Tx, organisation: OrganisationId, name: str, revision: int
) -> Organisation:
    """Rename that of exactly `revision`; raises ChangedError, ConflictError."""
    _check_name(tx, name, but=organisation)
    renamed = tx.execute(
        update(organisations)
        .where(organisations.c.id == organisation, organisations.c.revision == revision)
        .values(name=name, revision=revision + 1)
    )
    if renamed.rowcount != 1:
        raise ChangedError("organisation")
    return get_organisation(tx, organisation)


def _check_name(tx: Tx, name: str, but: OrganisationId | None = None) -> None:
    holder = tx.scalar(select(organisations.c.id).where(organisations.c.name == name))
    if holder is not None and holder != but:
        raise ConflictError("name_taken", f"there is an organisation called {name!r} already")


def _organisation(row: RowMapping) -> Organisation:
    return Organisation(
        id=row["id"],
        name=row["name"],
        is_operator=row["is_operator"],
        revision=row["revision"],
        created_ms=row["created_ms"],
    )
