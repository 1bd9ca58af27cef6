"""The machines behind a gateway and what they offer."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, insert, select, update

from controld.codes import new_id
from controld.errors import ConflictError, NotFoundError
from controld.records import Device, Service
from controld.schema.endpoints import devices, services
from rclib.wire.ids import DeviceId
from rclib.wire.session import VIRTUAL_NETWORK, Protocol, parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import RowMapping

    from controld.store import Tx
    from rclib.wire.ids import GatewayId

_IPV4: Final = 4


def add_device(
    tx: Tx,
    gateway: GatewayId,
    name: str,
    address: str,
    offers: Sequence[Service],
    now_ms: int,
    *,
    source_nat: bool = True,
) -> Device:
    """Create a device with its services; raises ConflictError for a name in use."""
    if any(device.name == name for device in list_devices(tx, gateway)):
        raise ConflictError("name_taken", f"this gateway has a device called {name!r} already")
    device = DeviceId(new_id("dev"))
    is_v4 = parse_address("address", address).version == _IPV4
    tx.execute(
        insert(devices).values(
            id=device,
            gateway=gateway,
            name=name,
            address=address,
            virtual=_free_virtual(tx) if is_v4 else None,
            source_nat=source_nat,
            created_ms=now_ms,
        )
    )
    for position, offer in enumerate(offers):
        tx.execute(
            insert(services).values(
                device=device, position=position, protocol=offer.protocol.value, port=offer.port
            )
        )
    return get_device(tx, device, gateway)


def get_device(tx: Tx, device: DeviceId, gateway: GatewayId) -> Device:
    """Read a device that is not removed; raises NotFoundError."""
    found = [found for found in list_devices(tx, gateway) if found.id == device]
    if not found:
        raise NotFoundError("device")
    return found[0]


def list_devices(tx: Tx, gateway: GatewayId) -> Sequence[Device]:
    query = (
        select(devices)
        .where(devices.c.gateway == gateway, devices.c.removed_ms.is_(None))
        .order_by(devices.c.name)
    )
    offers = (
        select(services)
        .join(devices, devices.c.id == services.c.device)
        .where(devices.c.gateway == gateway)
        .order_by(services.c.device, services.c.position)
    )
    offered: dict[str, list[Service]] = {}
    for row in tx.execute(offers).mappings():
        service = Service(protocol=Protocol(row["protocol"]), port=row["port"])
        offered.setdefault(row["device"], []).append(service)
    return [_device(row, offered) for row in tx.execute(query).mappings()]


def remove_device(tx: Tx, device: DeviceId, now_ms: int) -> None:
    tx.execute(update(devices).where(devices.c.id == device).values(removed_ms=now_ms))


def virtual_address(number: int | None) -> str | None:
    """Spell a device's virtual address."""
    return str(VIRTUAL_NETWORK[number]) if number is not None else None


def _free_virtual(tx: Tx) -> int:
    """A number no present device has; random, so that a removed one's address meets nobody soon."""
    while True:
        number = 1 + secrets.randbelow(
            VIRTUAL_NETWORK.num_addresses - 2
        )  # no network, no broadcast
        taken = exists().where(devices.c.virtual == number, devices.c.removed_ms.is_(None))
        if not tx.scalar(select(taken)):
            return number


def _device(row: RowMapping, offered: Mapping[str, Sequence[Service]]) -> Device:
    return Device(
        id=row["id"],
        gateway=row["gateway"],
        name=row["name"],
        address=row["address"],
        virtual=virtual_address(row["virtual"]),
        source_nat=row["source_nat"],
        services=tuple(offered.get(row["id"], ())),
    )
