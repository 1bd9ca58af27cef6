"""docs/confinement.md shows the rules as they are loaded. Run as a program, it renews them."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from rcd.gate import confinement
from rcd.gate.config import RcdGateConfig
from rcd.gate.policy import check_targets
from rclib.tunnel.gate_addresses import LocalAddress
from rclib.tunnel.gate_client import ANSWER_S
from rclib.tunnel.gate_plan import IPV4, plan_tunnel
from rclib.tunnel.gate_server import STEP_S, WATCH_S
from rclib.wire.gate import LIFETIME_S, RENEW_S, Allow, Open
from rclib.wire.ids import SessionId, TunnelKey
from rclib.wire.session import TUNNEL_NETWORK, Protocol

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "confinement.md"
SHOWN = re.compile(r"(<!-- (table|session): .*? -->\n```\n)(.*?)(```\n)", re.DOTALL)

# What the text tells about: Modbus and ping of one machine, all TCP ports of another.
EXAMPLE = Open(
    SessionId("ses_k3v9q2m7x4c8w1ta"),
    TunnelKey(bytes(32)),
    "100.64.0.5",
    "100.64.0.6",
    40_000,
    (
        Allow("192.168.1.10", Protocol.TCP, 502),
        Allow("192.168.1.10", Protocol.ICMP_ECHO),
        Allow("192.168.1.20", Protocol.TCP),
    ),
    1280,
)


def rendered() -> dict[str, str]:
    plan = plan_tunnel("rcg", EXAMPLE)
    return {
        "table": confinement.table(source_nat=True),
        "session": confinement.allow(plan, ["lan0"]) + confinement.lend(IPV4, "lan0"),
    }


def test_the_rules_in_the_document_are_the_rules_that_are_loaded() -> None:
    shown = {name: text for _, name, text, _ in SHOWN.findall(DOCUMENT.read_text())}
    assert shown == rendered(), f"run: python {Path(__file__).name}"


def test_the_figures_in_the_document_are_the_codes() -> None:
    text = " ".join(DOCUMENT.read_text().split())
    assert f"expires {LIFETIME_S} seconds after" in text
    assert f"every {RENEW_S} seconds" in text
    assert f"looks every {WATCH_S:g} second" in text
    assert f"{TUNNEL_NETWORK}" in text
    assert f"not over after {STEP_S} seconds" in text
    assert ANSWER_S < LIFETIME_S, "a hanging gate is noticed before the kernel closes"


def test_every_key_of_the_plants_own_bound_is_explained() -> None:
    text = DOCUMENT.read_text()
    for key in ("plant_networks", "plant_interfaces", "routes_for_plant", "source_nat"):
        assert key in RcdGateConfig.__struct_fields__
        assert f"`{key}`" in text


def test_the_document_is_no_longer_than_two_pages_without_its_rules() -> None:
    prose = SHOWN.sub("", DOCUMENT.read_text())
    assert len(prose.split()) < 1300


def test_the_example_is_a_session_the_gate_would_take() -> None:
    own = (LocalAddress("lan0", ipaddress.ip_interface("192.168.1.1/24")),)
    targets = plan_tunnel("rcg", EXAMPLE).targets
    check_targets(targets, (ipaddress.ip_network("192.168.1.0/24"),), own)


if __name__ == "__main__":
    texts = rendered()
    renewed = SHOWN.sub(lambda m: m[1] + texts[m[2]] + m[4], DOCUMENT.read_text())
    DOCUMENT.write_text(renewed)
