"""A machine with all seven services installed and configured, under a real systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.service_manager import DAEMONS, PROGRAMS, ServiceManager, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = "/var/lib/remoteconnect/controld"
ETC = "/etc/remoteconnect"
CONFIGURATIONS = {
    "stund.toml": 'listen = ["127.0.0.1:3478"]\n',
    "relayd.toml": (
        'relay = "relay0"\nlisten = "127.0.0.1:8443"\ntoken_keys = ["token-key.pub.pem"]\n'
        'certificate = "tls/cert.pem"\nkey = "tls/key.pem"\n'
    ),
    "gate.toml": (
        'allowed_users = ["rcd", "root"]\nsocket_group = "remoteconnect"\n'
        'plant_networks = ["192.168.1.0/24"]\nplant_interfaces = ["lan0"]\n'
    ),
    "rcd.toml": 'socket_group = "remoteconnect"\n',
    "ams.toml": 'listen = "192.168.1.1:8443"\n',
    "client-gate.toml": 'allowed_users = ["root"]\n',
}


@pytest.fixture(scope="package")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceManager]:
    """Everything an operator would have done before the first `systemctl start`."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with ServiceManager(tmp_path_factory.mktemp("systemd")) as built:
        for name, text in CONFIGURATIONS.items():
            built.write(f"{ETC}/{name}", text)
        controld = f"{PROGRAMS}/bin/controld"
        built.run(
            *(controld, "init", DATA, "--host", "control.example", "--listen", "127.0.0.1:443"),
            *("--organisation", "Machine Builder", "--admin", "ada"),
        )
        built.run(
            *(controld, "certificate", DATA, "--host", "relay.example", "--out", f"{ETC}/tls")
        )
        built.run("cp", f"{DATA}/token-key.pub.pem", ETC)
        built.run("chmod", "-R", "a+rX", f"{ETC}/tls")
        yield built


@pytest.fixture
def running(manager: ServiceManager) -> ServiceManager:
    """All seven services."""
    manager.start(*DAEMONS)
    return manager
