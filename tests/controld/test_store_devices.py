from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from controld import store_devices, store_endpoints, store_organisations
from controld.records import Device, Service
from controld.store import Store
from controld.store_url import SqliteFile
from rclib.wire.session import LINK_NETWORK, VIRTUAL_NETWORK, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controld.store import Tx

MODBUS = (Service(protocol=Protocol.TCP, port=502),)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    (tmp_path / "controld.db").touch()
    opened = await Store.open(SqliteFile(tmp_path / "controld.db"))
    yield opened
    await opened.close()


def two_plants(tx: Tx, address: str) -> tuple[Device, Device]:
    """The same device in two plants of two organisations."""
    made = []
    for number in (1, 2):
        organisation = store_organisations.add_organisation(tx, f"Builder {number}", 1)
        gateway = store_endpoints.add_gateway(tx, organisation, "bonn", 1).id
        made.append(store_devices.add_device(tx, gateway, "plc", address, MODBUS, 1))
    return made[0], made[1]


async def test_devices_with_the_same_address_have_virtual_addresses_of_their_own(
    store: Store,
) -> None:
    devices = await store.write(lambda tx: two_plants(tx, "192.168.1.10"))
    virtual = [IPv4Address(device.virtual or "") for device in devices]
    assert virtual[0] != virtual[1]
    assert all(each in VIRTUAL_NETWORK and each not in LINK_NETWORK for each in virtual)


async def test_a_device_with_an_ipv6_address_needs_no_other(store: Store) -> None:
    devices = await store.write(lambda tx: two_plants(tx, "2001:db8::10"))
    assert [device.virtual for device in devices] == [None, None]


async def test_an_address_in_use_is_not_given_again_until_its_device_is_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([6, 6, 7, 6])
    monkeypatch.setattr("secrets.randbelow", lambda _bound: next(drawn))
    first, second = await store.write(lambda tx: two_plants(tx, "192.168.1.10"))
    assert (first.virtual, second.virtual) == (str(VIRTUAL_NETWORK[7]), str(VIRTUAL_NETWORK[8]))

    def work(tx: Tx) -> Device:
        store_devices.remove_device(tx, first.id, 2)
        return store_devices.add_device(tx, first.gateway, "new", "192.168.1.11", MODBUS, 3)

    assert (await store.write(work)).virtual == first.virtual
