"""All programs as real processes on a testbed, configured as an operator would configure them.

Used by the end-to-end tests, the demo and the benchmarks: what they tell about is one and the same.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.api_client import ApiClient
from testbed.errors import BedError
from testbed.topology import Role
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.bed import Testbed
    from testbed.host import Host
    from testbed.process import Process
    from testbed.wall_clock import WallClock

CONTROL_HOST, CONTROL_PORT = "control.example", 443
RELAYS = {"relay0": ("relay1.example", 8443), "relay1": ("relay2.example", 8444)}
STUN_HOSTS, STUN_PORT = ("stun1.example", "stun2.example"), 3478
AMS_PORT = 8080
START_S = 20.0

GATE_TOML = """\
allowed_users = ["root"]
plant_networks = ["{lan}"]
plant_interfaces = ["lan0"]
"""
CLIENT_GATE_TOML = 'allowed_users = ["root"]\n'
RCD_TOML = 'state_dir = "{state}"\nca_file = "{ca}"\n'
RCC_TOML = 'state_dir = "{state}"\nsocket = "/run/remoteconnect/rcc.sock"\nca_file = "{ca}"\n'
RELAYD_TOML = """\
relay = "{name}"
listen = "0.0.0.0:{port}"
certificate = "{tls}/cert.pem"
key = "{tls}/key.pem"
token_keys = ["{data}/token-key.pub.pem"]
"""
EMULATED_TOML = """\
[passwords]
memory_mib = 7
passes = 5
lanes = 1
"""
"""The least work controld accepts: at the usual price a login takes longer than a request may."""
AMS_TOML = """\
listen = "192.168.1.1:{port}"
plain_http = true
state_dir = "{state}"
hosts = ["127.0.0.1", "localhost"]
"""


class Suite:
    """The programs of one cloud, one gateway and one technician."""

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self.data = bed.directory / "controld"
        self.ca = self.data / "tls" / "ca.pem"
        self.processes: dict[str, Process] = {}
        self.control_door = 0
        """Port of this machine that leads to controld."""
        self.clocks: dict[str, WallClock] = {}
        """Wall clocks of programs that have one of their own, by the same names."""
        self.regions: dict[str, str] = {}
        """Of relays that do not stand in the only one; set before the cloud is started."""

    # The cloud.

    def start_cloud(self, settings: str = "") -> ApiClient:
        """Start controld, with more settings, relayd and stund; returns an API, logged in."""
        cloud = self.bed.host(Role.CLOUD)
        stun = [("--stun", f"{host}:{STUN_PORT}") for host in STUN_HOSTS]
        relays = [
            ("--relay", f"{name}=wss://{host}:{port}/relay")
            for name, (host, port) in RELAYS.items()
        ]
        said = self._command(
            cloud,
            "controld",
            *("init", str(self.data), "--host", CONTROL_HOST, "--listen", "0.0.0.0:443"),
            *(argument for pair in (*stun, *relays) for argument in pair),
            *("--organisation", "Machine Builder", "--admin", "ada"),
        )
        tls = self.bed.directory / "relay-tls"
        hosts = [argument for host, _ in RELAYS.values() for argument in ("--host", host)]
        out = (*hosts, "--out", str(tls))
        self._command(cloud, "controld", "certificate", str(self.data), *out)
        config = self.data / "controld.toml"
        text = config.read_text()
        for relay, region in self.regions.items():
            text = text.replace(f'id = "{relay}"', f'id = "{relay}"\nregion = "{region}"')
        slow = EMULATED_TOML if SLOWNESS > 1 else ""
        config.write_text(f"{text}\n{slow}{settings}")
        if slow:  # the first password has the usual price
            reset = ("users", "reset-password", "ada", "--config", str(config))
            said = self._command(cloud, "controld", *reset)
        found = re.search(r"One-time password[^:]*:\s+(\S+)", said)
        if found is None:
            raise BedError(f"controld printed no password: {said}")
        self.start_controld()
        for name in RELAYS:
            self.start_relay(name)
        self.start_stund()
        for port in (CONTROL_PORT, *(port for _, port in RELAYS.values())):
            cloud.wait_port(port, START_S)
        self.control_door = self.bed.doorway(Role.CLOUD, CONTROL_PORT)
        api = ApiClient(self.control_door, CONTROL_HOST, self.ca)
        api.first_login("ada", found[1], "correct horse battery 1")
        return api

    def start_controld(self) -> None:
        arguments = ("--config", str(self.data / "controld.toml"))
        self._start(self.bed.host(Role.CLOUD), "controld", *arguments)

    def start_relay(self, name: str, host: str = Role.CLOUD, port: int = 0) -> Process:
        tls = self.bed.directory / "relay-tls"
        port = port or RELAYS[name][1]
        text = RELAYD_TOML.format(name=name, port=port, tls=tls, data=self.data)
        config = self._config(f"relayd-{name}-{port}", text)
        started = self.bed.host(host)
        key = f"{started.name}:{name}"
        return self._start(started, "relayd", "--config", str(config), key=key)

    def start_stund(self) -> None:
        everywhere = [
            argument
            for host in ("0.0.0.0", "[::]")  # noqa: S104 - the cloud's own namespace
            for argument in ("--listen", f"{host}:{STUN_PORT}")
        ]
        self._start(self.bed.host(Role.CLOUD), "stund", *everywhere)

    # The plant.

    def start_gateway(self, name: str = "gateway", settings: str = "") -> None:
        """rcd-gate, rcd and ams, as delivered: not enrolled, OFF. `settings` are rcd's."""
        gateway = self.bed.host(name)
        run = Path("/run/remoteconnect")
        gateway.run(["mkdir", "-p", run / "rcd", run / "rcd-gate"], check=True)
        self.start_gate(name)
        self.start_rcd(name, settings)
        self.start_ams(name)

    def start_ams(self, name: str = "gateway") -> None:
        gateway = self.bed.host(name)
        ams = AMS_TOML.format(port=AMS_PORT, state=self.bed.directory / f"{name}-ams")
        self._start(gateway, "ams", "--config", str(self._config(f"{name}-ams", ams)))
        gateway.wait_port(AMS_PORT, START_S)

    def renew_gateway(self, name: str = "gateway") -> None:
        """As delivered once more: rcd and ams start without anything they had kept."""
        for program in ("ams", "rcd"):
            self.processes[f"{name}:{program}"].stop()
            shutil.rmtree(self.bed.directory / f"{name}-{program}")
        self.start_rcd(name)
        self.start_ams(name)

    def start_gate(self, name: str = "gateway") -> None:
        gateway = self.bed.host(name)
        lan = gateway.addresses_on("lan0")[0].network
        gate = self._config(f"{name}-gate", GATE_TOML.format(lan=lan))
        self._start(gateway, "rcd.gate", "--config", str(gate), wait="service_ready")

    def start_rcd(self, name: str = "gateway", settings: str = "") -> None:
        state = self.bed.directory / f"{name}-rcd"
        rcd = self._config(f"{name}-rcd", RCD_TOML.format(state=state, ca=self.ca) + settings)
        self._start(self.bed.host(name), "rcd", "--config", str(rcd), wait="gate_ready")

    # The technician.

    def start_technician(self, name: str = "technician") -> None:
        """rcc-gate, installed once."""
        technician = self.bed.host(name)
        technician.run(["mkdir", "-p", "/run/remoteconnect/rcc-gate"], check=True)
        gate = self._config(f"{name}-gate", CLIENT_GATE_TOML)
        self._start(technician, "rcc.gate", "--config", str(gate), wait="service_ready")

    def enrol_client(self, code: str, name: str = "technician") -> None:
        server = f"https://{CONTROL_HOST}"
        config = self._client_config(name)
        self._command(self.bed.host(name), "rcc", "--config", str(config), "enroll", server, code)

    def connect(self, link: str, name: str = "technician") -> Process:
        """Follow a link, as a browser would make the client do; it stays until the end."""
        config = self._client_config(name)
        return self._start(self.bed.host(name), "rcc", "--config", str(config), "connect", link)

    def start_agent(self, name: str = "technician") -> Process:
        """The client's process that is there before any session, linked to the control plane."""
        config = self._client_config(name)
        arguments = ("--log-level", "info", "--config", str(config), "agent")
        agent = self._start(self.bed.host(name), "rcc", *arguments, key=f"{name}:agent")
        self.wait_log(agent, "link_up")
        return agent

    def client_status(self, name: str = "technician") -> str:
        config = self._client_config(name)
        return self._command(self.bed.host(name), "rcc", "--config", str(config), "status")

    def disconnect(self, name: str = "technician", *, session: str = "") -> str:
        config = self._client_config(name)
        verb = ["disconnect", *([session] if session else [])]
        return self._command(self.bed.host(name), "rcc", "--config", str(config), *verb)

    # Helpers.

    def wait_log(
        self, process: Process, event: str, timeout_s: float = START_S, *, times: int = 1
    ) -> dict[str, Any]:
        """Wait for a daemon's log lines with this event name: the first, or so many."""

        def found() -> dict[str, Any] | None:
            if process.poll() is not None:
                raise BedError(f"{process.name} ended:\n{process.log.read_text()[-2000:]}")
            lines = [x for x in process.log.read_text().splitlines() if f'"{event}"' in x]
            return {"line": lines[times - 1]} if len(lines) >= times else None

        return until(found, timeout_s, f"{event!r} in the log of {process.name}")

    def _client_config(self, name: str) -> Path:
        state = self.bed.directory / f"{name}-rcc"
        return self._config(f"{name}-rcc", RCC_TOML.format(state=state, ca=self.ca))

    def _config(self, name: str, text: str) -> Path:
        tomllib.loads(text)
        path = self.bed.directory / f"{name}.toml"
        path.write_text(text)
        return path

    def _start(
        self, host: Host, program: str, *arguments: str, wait: str = "", key: str = ""
    ) -> Process:
        command = [sys.executable, "-m", program, *arguments]
        key = key or f"{host.name}:{program}"
        env = self.clocks[key].environment if key in self.clocks else None
        process = host.popen(command, name=program.replace(".", "-"), env=env)
        self.processes[key] = process
        if wait:
            self.wait_log(process, wait)
        return process

    def _command(self, host: Host, program: str, *arguments: str) -> str:
        command: Sequence[str] = [sys.executable, "-m", program, *arguments]
        return host.run(command, check=True).stdout
