"""Gateways, the devices behind them, and the caller's own PCs."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from controld import enrolment, sessions, store_audit, store_devices, store_endpoints
from controld.api import Call, Route
from controld.api_types import (
    ClientEnrolment,
    ClientList,
    ClientView,
    DeviceList,
    DeviceRequest,
    DeviceView,
    GatewayEnrolment,
    GatewayList,
    GatewayView,
    NameRequest,
    ServiceView,
)
from controld.errors import InvalidError
from controld.records import Entry, Service
from controld.roles import Action
from controld.store_sessions import unfinished_sessions_of_device
from rclib.wire.audit import AuditAction
from rclib.wire.errors import DecodeError
from rclib.wire.identity import fingerprint
from rclib.wire.ids import ClientId, DeviceId, EndpointId, GatewayId
from rclib.wire.session import EndReason, Protocol, parse_address

if TYPE_CHECKING:
    from controld.records import Device, Gateway, Session
    from controld.store import Tx


async def list_gateways(call: Call) -> GatewayList:
    found = await call.services.store.read(
        lambda tx: store_endpoints.list_gateways(tx, call.user.organisation)
    )
    return GatewayList(tuple(_gateway_view(call, gateway) for gateway in found))


async def create_gateway(call: Call) -> GatewayEnrolment:
    request = await call.body(NameRequest)

    def work(tx: Tx) -> GatewayEnrolment:
        gateway = store_endpoints.add_gateway(tx, call.user.organisation, request.name, call.now_ms)
        _record(tx, call, AuditAction.GATEWAY_CREATED, gateway.id, {"name": gateway.name})
        return GatewayEnrolment(gateway.id, *_issue(tx, call, EndpointId(gateway.id)))

    return await call.create(GatewayEnrolment, work)


async def renew_enrolment(call: Call) -> GatewayEnrolment:
    """A new code, for a gateway that was replaced or whose code expired."""

    def work(tx: Tx) -> GatewayEnrolment:
        gateway = _gateway(tx, call)
        return GatewayEnrolment(gateway.id, *_issue(tx, call, EndpointId(gateway.id)))

    return await call.create(GatewayEnrolment, work)


async def list_devices(call: Call) -> DeviceList:
    found = await call.services.store.read(
        lambda tx: store_devices.list_devices(tx, _gateway(tx, call).id)
    )
    return DeviceList(tuple(_device_view(device) for device in found))


async def create_device(call: Call) -> DeviceView:
    request = await call.body(DeviceRequest)
    address = _device_address(request.address)
    offers = tuple(dict.fromkeys(_service(service) for service in request.services))

    def work(tx: Tx) -> DeviceView:
        gateway = _gateway(tx, call)
        device = store_devices.add_device(
            tx,
            gateway.id,
            request.name,
            address,
            offers,
            call.now_ms,
            source_nat=request.source_nat,
        )
        detail = {"name": device.name, "address": address, "gateway": gateway.id}
        _record(tx, call, AuditAction.DEVICE_CREATED, device.id, detail)
        return _device_view(device)

    return await call.create(DeviceView, work)


async def remove_device(call: Call) -> None:
    """Ends every session that uses the device, prepared ones too."""

    def work(tx: Tx) -> list[Session]:
        gateway = _gateway(tx, call)
        wanted = DeviceId(call.request.match_info["device"])
        device = store_devices.get_device(tx, wanted, gateway.id)
        ended = [
            sessions.end(tx, session, EndReason.TARGETS_CHANGED, call.actor, call.now_ms)
            for session in unfinished_sessions_of_device(tx, device.id)
        ]
        store_devices.remove_device(tx, device.id, call.now_ms)
        _record(tx, call, AuditAction.DEVICE_REMOVED, device.id, {"name": device.name})
        return [session for session in ended if session is not None]

    for session in await call.services.store.write(work):
        call.services.keeper.tell_end(session)


async def list_clients(call: Call) -> ClientList:
    found = await call.services.store.read(
        lambda tx: store_endpoints.list_clients(tx, call.user.id)
    )
    hub = call.services.hub
    return ClientList(
        tuple(
            ClientView(
                id=client.id,
                name=client.name,
                enrolled=client.identity_key is not None,
                online=hub.is_linked(EndpointId(client.id)),
                created_ms=client.created_ms,
            )
            for client in found
        )
    )


async def create_client(call: Call) -> ClientEnrolment:
    request = await call.body(NameRequest)

    def work(tx: Tx) -> ClientEnrolment:
        user = call.user
        client = store_endpoints.add_client(
            tx, user.organisation, user.id, request.name, call.now_ms
        )
        _record(tx, call, AuditAction.CLIENT_CREATED, client.id, {"name": client.name})
        return ClientEnrolment(client.id, *_issue(tx, call, EndpointId(client.id)))

    return await call.create(ClientEnrolment, work)


_GATEWAY = "/api/v1/gateways/{gateway}"
ROUTES = (
    Route(
        method="GET",
        path="/api/v1/gateways",
        needs=Action.SEE_GATEWAYS,
        handle=list_gateways,
        gives=GatewayList,
    ),
    Route(
        method="POST",
        path="/api/v1/gateways",
        needs=Action.ADD_GATEWAYS,
        handle=create_gateway,
        takes=NameRequest,
        gives=GatewayEnrolment,
        status=HTTPStatus.CREATED,
    ),
    Route(
        method="POST",
        path=f"{_GATEWAY}/enrolment",
        needs=Action.ADD_GATEWAYS,
        handle=renew_enrolment,
        gives=GatewayEnrolment,
        status=HTTPStatus.CREATED,
    ),
    Route(
        method="GET",
        path=f"{_GATEWAY}/devices",
        needs=Action.SEE_GATEWAYS,
        handle=list_devices,
        gives=DeviceList,
    ),
    Route(
        method="POST",
        path=f"{_GATEWAY}/devices",
        needs=Action.ADD_GATEWAYS,
        handle=create_device,
        takes=DeviceRequest,
        gives=DeviceView,
        status=HTTPStatus.CREATED,
    ),
    Route(
        method="DELETE",
        path=f"{_GATEWAY}/devices/{{device}}",
        needs=Action.ADD_GATEWAYS,
        handle=remove_device,
    ),
    Route(
        method="GET",
        path="/api/v1/clients",
        needs=Action.ENROL_CLIENT,
        handle=list_clients,
        gives=ClientList,
    ),
    Route(
        method="POST",
        path="/api/v1/clients",
        needs=Action.ENROL_CLIENT,
        handle=create_client,
        takes=NameRequest,
        gives=ClientEnrolment,
        status=HTTPStatus.CREATED,
    ),
)


def _gateway(tx: Tx, call: Call) -> Gateway:
    wanted = GatewayId(call.request.match_info["gateway"])
    return store_endpoints.get_gateway(tx, wanted, call.user.organisation)


def _issue(tx: Tx, call: Call, endpoint: EndpointId) -> tuple[str, int]:
    return enrolment.issue(
        tx,
        endpoint,
        call.user.organisation,
        call.actor,
        now_ms=call.now_ms,
        lifetime_s=call.services.config.times.enrolment_s,
    )


def _device_address(text: str) -> str:
    """The normal spelling of a machine's address; raises InvalidError for what no machine has."""
    try:
        address = parse_address("address", text)
    except DecodeError as exc:
        raise InvalidError("bad_address", str(exc)) from None
    if (
        address.is_loopback
        or address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or "%" in str(address)
        or str(address) == "255.255.255.255"
    ):
        raise InvalidError("bad_address", f"{address} is not the address of one machine")
    return str(address)


def _service(view: ServiceView) -> Service:
    if view.protocol is Protocol.ICMP_ECHO and view.port is not None:
        raise InvalidError("bad_request", "icmp_echo has no port")
    return Service(protocol=view.protocol, port=view.port)


def _gateway_view(call: Call, gateway: Gateway) -> GatewayView:
    hub = call.services.hub
    state = hub.state_of(EndpointId(gateway.id))
    return GatewayView(
        id=gateway.id,
        name=gateway.name,
        enrolled=gateway.identity_key is not None,
        online=hub.is_linked(EndpointId(gateway.id)),
        access=state.access if state is not None else None,
        access_until_ms=state.until_ms if state is not None else None,
        fingerprint=(
            fingerprint(gateway.identity_key) if gateway.identity_key is not None else None
        ),
        plant_networks=state.plant_networks if state is not None else (),
        software=hub.software_of(EndpointId(gateway.id)),
        created_ms=gateway.created_ms,
    )


def _device_view(device: Device) -> DeviceView:
    return DeviceView(
        id=device.id,
        name=device.name,
        address=device.address,
        virtual=device.virtual,
        source_nat=device.source_nat,
        services=tuple(ServiceView(s.protocol, s.port) for s in device.services),
    )


def _record(
    tx: Tx,
    call: Call,
    action: AuditAction,
    subject: GatewayId | DeviceId | ClientId,
    detail: dict[str, str],
) -> None:
    entry = Entry(
        action=action,
        organisation=call.user.organisation,
        actor=call.actor,
        subject=subject,
        detail=detail,
    )
    store_audit.append(tx, entry, call.now_ms)
