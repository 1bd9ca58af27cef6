"""The main job, step by step: what the demo tells, the end-to-end tests check."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from testbed.browser import Browser
from testbed.errors import BedError
from testbed.suite import AMS_PORT, CONTROL_HOST, Suite
from testbed.waiting import SLOWNESS, until

if TYPE_CHECKING:
    from testbed.api_client import ApiClient
    from testbed.bed import Testbed
    from testbed.process import Process

AMS_PASSWORD = "four random plant words"  # noqa: S105 - of a plant that lives for a minute
PLC, HMI, UNRELEASED = "192.168.1.10", "192.168.1.20", "192.168.1.30"
MODBUS, ECHO, IPERF = 502, 4840, 5201
SERVICES = (("tcp", MODBUS), ("tcp", ECHO), ("udp", ECHO), ("tcp", IPERF))
"""What the PLC offers; a session releases a part of it."""


class Story:
    """One plant, one technician, one session; call the steps in their order."""

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self.suite = Suite(bed)
        self.technician_host = "technician"
        self.admin: ApiClient
        self.tina: ApiClient
        self.ams: Browser
        self.ams_port = 0
        self.gateway = ""
        self.device = ""
        self.user = ""
        self.session = ""
        self.started_ms = 0.0
        self.client: Process

    def start_programs(self, controld: str = "", rcd: str = "") -> None:
        """Start everything; TOML may be added to two configurations."""
        self.admin = self.suite.start_cloud(controld)
        self.suite.start_gateway(settings=rcd)
        self.suite.start_technician()

    def commission(self, controld: str = "", rcd: str = "") -> None:
        """Start everything and enrol both ends; access stays OFF."""
        self.start_programs(controld, rcd)
        self.enrol_gateway()
        self.enrol_technician()

    def at_another_plant(self, host: str) -> Story:
        """The same people with a second gateway, which is started and enrolled."""
        other = Story(self.bed)
        other.suite, other.admin, other.tina, other.user = (
            self.suite,
            self.admin,
            self.tina,
            self.user,
        )
        self.suite.start_gateway(host)
        other.enrol_gateway(host)
        return other

    def enrol_gateway(self, host: str = "gateway") -> None:
        """Set the page's password at the first visit, and type the code in."""
        name = "press shop" if host == "gateway" else host
        made = self.admin.post("/api/v1/gateways", {"name": name})
        self.gateway = made["gateway"]
        lan = str(self.bed.host(host).addresses_on("lan0")[0].ip)
        self.ams_port = self.bed.doorway(host, AMS_PORT, lan)
        self.ams = Browser(self.ams_port)
        self.ams.get("/?lang=en")
        self.ams.submit("/password", password=AMS_PASSWORD, repeat=AMS_PASSWORD)
        server = f"https://{CONTROL_HOST}"
        self.ams.submit("/enrol", server=server, code=made["enrolment_code"])

    def log_in_on_the_page(self) -> None:
        self.ams.get("/")
        self.ams.submit("/login", password=AMS_PASSWORD)
        self.ams.get("/")

    def enrol_technician(self, name: str = "tina") -> None:
        made = self.admin.post("/api/v1/users", {"name": name, "role": "rc_user"})
        self.user = made["user"]
        self.tina = self.admin.another()
        self.tina.first_login(name, made["password"], "correct horse battery 2")
        self.enrol_laptop()

    def enrol_laptop(self) -> None:
        """One more computer of the technician's."""
        client = self.tina.post("/api/v1/clients", {"name": f"laptop {self.technician_host}"})
        self.suite.enrol_client(client["enrolment_code"], self.technician_host)

    def turn_on(self, hours: int = 4) -> None:
        """On the page; returns when the control plane sees the gateway."""
        self.ams.get("/")
        self.ams.submit("/access", mode="on", hours=str(hours))
        until(self.is_online, 15, "the gateway to be online")

    def turn_off(self) -> float:
        """On the page; returns the milliseconds until it was confirmed."""
        self.ams.get("/")
        started = time.monotonic()
        self.ams.submit("/access", mode="off")
        return (time.monotonic() - started) * 1000

    def add_device(self) -> None:
        """Make the PLC known, once."""
        if not self.device:
            services = [{"protocol": kind, "port": port} for kind, port in SERVICES]
            device = self.admin.post(
                f"/api/v1/gateways/{self.gateway}/devices",
                {"name": "PLC", "address": PLC, "services": services},
            )
            self.device = device["id"]

    def prepare(self, *besides: tuple[str, int], **terms: Any) -> None:  # noqa: ANN401 - JSON
        """Release Modbus of the PLC, and what is given besides, for the technician."""
        self.add_device()
        targets = [
            {"device": self.device, "protocol": kind, "port": port}
            for kind, port in (SERVICES[0], *besides)
        ]
        made = self.admin.post(
            "/api/v1/sessions",
            {
                "name": "Line 3",
                "gateway": self.gateway,
                "targets": targets,
                "users": [self.user],
                "reason": "drive reports fault 0x2310",
                **terms,
            },
        )
        self.session = made["id"]

    def start(self) -> float:
        """Press Start, follow the link, read the PLC; returns milliseconds to the first reply."""
        # It is there before and tries all the time: the client alone is what is waited for.
        technician, patience_s = self.bed.host(self.technician_host), str(20 * SLOWNESS)
        reader = technician.tool("modbus_read", PLC, "0", "26", patience_s)
        pressed_ms = self.started_ms = time.time() * 1000
        link = self.tina.post(f"/api/v1/sessions/{self.session}/start")["link"]
        self.client = self.suite.connect(link, self.technician_host)

        def answer() -> dict[str, Any] | None:
            over = self.client.poll() is not None or reader.poll() is not None
            for message in reader.messages():
                if message.get("event") == "read":
                    return message
            if over:
                ends = [f"{each.name}{each.post_mortem()}" for each in (reader, self.client)]
                raise BedError("\n".join(("no answer of the PLC", *ends)))
            return None

        said = until(answer, 30, "the PLC's first answer")
        reader.wait(10)
        return float(said["at_ms"]) - pressed_ms

    def settled_path(self, timeout_s: float = 20) -> dict[str, Any]:
        """The path once it is direct, or known not to be."""

        def settled() -> dict[str, Any] | None:
            details = self.path_details()
            return details if details.get("kind") == "direct" or details.get("detail") else None

        return until(settled, timeout_s, "the path to be settled")

    def path_details(self) -> dict[str, Any]:
        """What the client says about its path."""
        said: dict[str, Any] = json.loads(self.suite.client_status(self.technician_host))
        return said.get("path_details") or {}

    def wait_direct(self, timeout_s: float = 20) -> float:
        """Return how many milliseconds after Start the packets went directly at the client."""

        def direct() -> dict[str, Any] | None:
            details = self.path_details()
            return details if details.get("kind") == "direct" else None

        details = until(direct, timeout_s, "the tunnel to take the direct path")
        return float(details["since_ms"]) - self.started_ms

    def read_plc(self, seconds: float = 20) -> dict[str, Any]:
        """Read registers over the tunnel; raises if there was no answer."""
        tries = [PLC, "0", "26", str(seconds * SLOWNESS)]
        command = [sys.executable, "-m", "testbed.tools.modbus_read", *tries]
        done = self.bed.host(self.technician_host).run(command, timeout_s=seconds + 10, check=True)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def knock(self, address: str, port: int) -> bool:
        """Whether a TCP connection from the technician gets through."""
        text = (
            "import socket,sys\n"
            "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()\n"
            "except OSError: sys.exit(1)"
        )
        command = [sys.executable, "-c", text, address, str(port)]
        return self.bed.host(self.technician_host).run(command).returncode == 0

    def session_state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.admin.get(f"/api/v1/sessions/{self.session}")
        return state

    def audit_rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while page := self.admin.get(f"/api/v1/audit?after={len(rows)}")["records"]:
            rows += page
        return rows

    def is_online(self) -> bool:
        listed = self.admin.get("/api/v1/gateways")["gateways"]
        # Linked is not enough: a start needs the switch, which is the first word on the link.
        return any(each["id"] == self.gateway and each["access"] for each in listed)
