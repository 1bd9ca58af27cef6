"""How an endpoint becomes known: by a one-time code, and by who the code was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controld import store_audit, store_endpoints, store_organisations
from controld.codes import new_code, normal_code
from controld.errors import ForbiddenError
from controld.records import Actor, Entry
from rclib.wire.audit import AuditAction
from rclib.wire.control_http import EnrolResponse
from rclib.wire.identity import enrol_statement, fingerprint, is_signed_by
from rclib.wire.ids import ClientId, GatewayId

if TYPE_CHECKING:
    from controld.store import Tx
    from rclib.wire.control_http import EnrolRequest
    from rclib.wire.ids import EndpointId, OrganisationId


def issue(
    tx: Tx,
    endpoint: EndpointId,
    organisation: OrganisationId,
    actor: Actor,
    *,
    now_ms: int,
    lifetime_s: int,
) -> tuple[str, int]:
    """Make an enrolment code for an endpoint; return it and when it expires."""
    code, expires_ms = new_code(), now_ms + lifetime_s * 1000
    store_endpoints.issue_code(tx, endpoint, code, now_ms, expires_ms)
    entry = Entry(
        action=AuditAction.ENROLMENT_ISSUED,
        organisation=organisation,
        actor=actor,
        subject=endpoint,
    )
    store_audit.append(tx, entry, now_ms)
    return code, expires_ms


def is_signed(request: EnrolRequest) -> bool:
    """Whether the one who asks holds the key it wants enrolled."""
    return is_signed_by(
        request.identity_key,
        enrol_statement(request.code, request.identity_key),
        request.signature,
    )


def redeem(
    tx: Tx, request: EnrolRequest, link_host: str, source: str, now_ms: int
) -> EnrolResponse | None:
    """Spend the code and store the key; None: the code is unknown, used or expired.

    The caller has checked the signature. A used or expired code goes on record, since somebody
    holds what was meant for one device; a made-up one does not, since anybody can make one up.
    Raises ConflictError for a key that is another endpoint's.
    """
    code = normal_code(request.code)
    endpoint = store_endpoints.endpoint_of_code(tx, code)
    if endpoint is None:
        return None
    name, organisation = _owner(tx, endpoint)
    spent = store_endpoints.spend_code(tx, code, now_ms)
    action = AuditAction.ENROLMENT_REDEEMED if spent else AuditAction.ENROLMENT_REFUSED
    entry = Entry(
        action=action,
        organisation=organisation,
        actor=Actor(endpoint, name, source),
        subject=endpoint,
        detail={"fingerprint": fingerprint(request.identity_key)},
    )
    store_audit.append(tx, entry, now_ms)
    if not spent:
        return None
    store_endpoints.enrol(tx, endpoint, request.identity_key, now_ms)
    return EnrolResponse(
        endpoint=endpoint,
        name=name,
        organisation=store_organisations.get_organisation(tx, organisation).name,
        link_host=link_host,
    )


def refused() -> ForbiddenError:
    """One answer for every wrong code, so that trying teaches nothing."""
    return ForbiddenError(
        "enrolment_code_invalid",
        "the enrolment code is unknown, used or expired; ask for a new one",
    )


def _owner(tx: Tx, endpoint: EndpointId) -> tuple[str, OrganisationId]:
    if endpoint.startswith("gwy_"):
        gateway = store_endpoints.find_gateway(tx, GatewayId(endpoint))
        return gateway.name, gateway.organisation
    client = store_endpoints.get_client(tx, ClientId(endpoint))
    return client.name, client.organisation
