"""`rcc agent` as its user's own systemd runs it: beside controld, with no right but the user's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from testbed.service_manager import PROGRAMS
from testbed.waiting import until
from tests.systemd.conftest import DATA

if TYPE_CHECKING:
    from testbed.service_manager import ServiceManager

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(240)]

UNIT: Final = Path(__file__).resolve().parents[2] / "systemd" / "user" / "rcc-agent.service"
UID: Final = "991"
HOME: Final = "/var/lib/tina"
RUN: Final = f"/run/user/{UID}"
ETC: Final = "/etc/remoteconnect"
CA: Final = f"{ETC}/ca.pem"
WAIT_S: Final = 40.0
MANAGER: Final = f"""
[Service]
Type=notify
User={UID}
Group={UID}
Delegate=yes
Environment=HOME={HOME} XDG_RUNTIME_DIR={RUN}
ExecStart=/lib/systemd/systemd --user --unit=nothing.target
"""
NOTHING: Final = "[Unit]\nDescription=nothing of the machine's own\n"
# Arguments: the CA and the administrator's one-time password. Prints a computer's code.
NEW_COMPUTER: Final = """
import pathlib, sys
from testbed.api_client import ApiClient
api = ApiClient(443, "control.example", pathlib.Path(sys.argv[1]))
api.first_login("ada", sys.argv[2], "correct horse battery 1")
print(api.post("/api/v1/clients", {"name": "laptop"})["enrolment_code"])
"""


def as_user(manager: ServiceManager, *command: str, check: bool = True) -> str:
    user = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
    where = ("env", f"HOME={HOME}", f"XDG_RUNTIME_DIR={RUN}")
    return manager.run(*user, *where, *command, check=check).stdout.strip()


def agent(manager: ServiceManager, name: str) -> str:
    """A property of the unit."""
    return as_user(
        manager, "systemctl", "--user", "show", "--value", f"--property={name}", "rcc-agent"
    )


def is_linked(manager: ServiceManager) -> bool:
    """Whether the running agent has its connection to controld, and answers its user."""
    held = manager.run("ss", "-Htnp", "state", "established", "dst", "127.0.0.1:443").stdout
    if f"pid={agent(manager, 'MainPID')}," not in held:
        return False
    return as_user(manager, f"{PROGRAMS}/bin/rcc", "status") == ""


@pytest.fixture
def at_work(manager: ServiceManager) -> ServiceManager:
    """A user's systemd with the unit in it, and a controld that this computer can find."""
    account = f"tina:x:{UID}:{UID}::{HOME}:/bin/sh"
    manager.run("sh", "-c", f"echo {account} >> /etc/passwd; echo tina:x:{UID}: >> /etc/group")
    manager.write("/etc/hosts", "127.0.0.1 localhost control.example\n")
    manager.run("cp", f"{DATA}/tls/ca.pem", CA)
    manager.run("chmod", "644", CA)
    manager.write(f"{ETC}/rcc.toml", f'ca_file = "{CA}"\n')
    manager.run("install", "-d", "-o", UID, "-g", UID, "-m", "700", HOME, "/run/user", RUN)
    manager.write("/etc/systemd/user/basic.target", NOTHING)
    manager.write("/etc/systemd/user/nothing.target", NOTHING)
    manager.write("/etc/systemd/user/rcc-agent.service", UNIT.read_text(encoding="utf-8"))
    manager.write("/etc/systemd/user/rcc-agent.service.d/often.conf", "[Service]\nRestartSec=1\n")
    manager.write("/etc/systemd/system/user-manager.service", MANAGER)
    manager.systemctl("daemon-reload")
    manager.start("user-manager")
    return manager


def one_time_password(manager: ServiceManager) -> str:
    manager.systemctl("stop", "controld")
    reset = ("users", "reset-password", "ada", "--config", f"{DATA}/controld.toml")
    said = manager.run(f"{PROGRAMS}/bin/controld", *reset).stdout
    manager.start("controld")
    return re.search(r": (\S+)$", said.strip())[1]  # type: ignore[index]


def test_the_agent_waits_for_enrolment_and_is_there_again_after_a_crash(
    at_work: ServiceManager,
) -> None:
    manager = at_work
    as_user(manager, "systemctl", "--user", "start", "rcc-agent")
    until(lambda: int(agent(manager, "NRestarts")) > 1, WAIT_S, "starts before the enrolment")
    password = one_time_password(manager)
    python = ("env", f"PYTHONPATH={PROGRAMS}/project", f"{PROGRAMS}/bin/python")
    code = manager.run(*python, "-c", NEW_COMPUTER, CA, password).stdout.strip()
    as_user(manager, f"{PROGRAMS}/bin/rcc", "enroll", "https://control.example", code)
    until(lambda: is_linked(manager), WAIT_S, "the agent's link")
    crashed = agent(manager, "MainPID")
    manager.run("kill", "-KILL", crashed)
    until(lambda: is_linked(manager) and agent(manager, "MainPID") != crashed, WAIT_S, "the next")
